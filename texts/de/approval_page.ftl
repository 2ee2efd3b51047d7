# Die Seiten, auf denen jemand über einen Kauf entscheidet oder bezahlt, was genehmigt ist.

page-error = Noch nicht:

page-label-order = Was
page-label-pool = Für den Pool
page-label-total = Gesamtbetrag
page-label-requester = Beantragt von
page-label-reason = Wofür
page-label-balance = Jetzt im Pool
page-label-used = Verbraucht in den letzten 90 Tagen
page-label-lasts = Reicht ohne diesen Kauf
page-label-lasts-with = Reicht mit diesem Kauf
page-label-stage = Schritt
page-label-approved = Bisher zugestimmt
page-label-name-of = Sie entscheiden im Namen von
page-label-cause = Warum Sie wieder gefragt werden
page-label-until = Zu entscheiden bis
page-label-pay-until = Zu bezahlen bis

page-credits = { $count ->
        [one] { $number } Credit
       *[other] { $number } Credits
    }
page-owed = { $number } im Minus
page-days = { $count ->
        [one] etwa { $number } Tag
       *[other] etwa { $number } Tage
    }
page-unused = nichts verbraucht
page-stage = { $number } von { $of }: { $name }
page-approved = { $approved } von { $quorum }
page-alone = Ein Inhaber kann allein entscheiden
page-cause-edited = Der Antrag wurde geändert. Dies ist Runde { $round }.
page-cause-price-expired = Der Preis galt nicht mehr. Dies ist Runde { $round }, zum damaligen Tagespreis.
page-by-itself = der Pool, von selbst (eingerichtet von { $name })
page-former = jemand, der nicht mehr dazugehört

page-open-title = Ihre Entscheidung ist gefragt
page-open-text = Mit dem Öffnen dieser Seite ist nichts entschieden. Es geschieht nichts, bis Sie den Code eingeben und wählen.
page-form = Ihre Entscheidung
page-code-label = Die vier Ziffern aus der E-Mail
page-code-hint = Sie stehen in der E-Mail, die Sie hierher geführt hat. Der Link enthält sie nicht.
page-reason-label = Ihre Begründung
page-reason-hint = Nötig, wenn Sie ablehnen. Wenn Sie zustimmen, kann sie leer bleiben. Wer den Antrag gestellt hat, sieht sie.
page-sole-owner = Ich bin der einzige Inhaber und stimme dem zu, was ich selbst beantragt habe. Diese Ausnahme wird festgehalten.
page-approve = Zustimmen
page-reject = Ablehnen
page-stranger = Der Link gehört nur Ihnen und gilt einmal, bis { $date }. Wenn Sie nicht wissen, worum es geht, schließen Sie diese Seite. Dann geschieht nichts.

page-notice-again = Es ist noch nichts entschieden: Diese Seite war zu lange offen. Bitte geben Sie den Code ein und wählen Sie noch einmal.
page-notice-choice = Bitte wählen Sie: zustimmen oder ablehnen. Es ist noch nichts entschieden.
page-notice-code = Bitte geben Sie die vier Ziffern aus der E-Mail ein. Es ist noch nichts entschieden.
page-notice-reason = Bitte sagen Sie, warum Sie ablehnen. Es ist noch nichts entschieden.
page-notice-long = Die Begründung darf höchstens { $most } Zeichen haben. Es ist noch nichts entschieden.
page-notice-hidden = Die Begründung enthält Zeichen, die man nicht sieht oder die die Richtung des Textes ändern. Bitte schreiben Sie sie ohne diese. Es ist noch nichts entschieden.
page-notice-sole-owner = Bitte bestätigen Sie, dass Sie dem zustimmen, was Sie selbst beantragt haben. Es ist noch nichts entschieden.
page-notice-wrong = { $left ->
        [one] Das sind nicht die Ziffern aus der E-Mail. Es ist nichts entschieden. Sie haben noch einen Versuch.
       *[other] Das sind nicht die Ziffern aus der E-Mail. Es ist nichts entschieden. Sie haben noch { $left } Versuche.
    }
page-notice-pay = Es ist noch nichts bezahlt: Diese Seite war zu lange offen. Bitte geben Sie den Code ein und drücken Sie den Knopf noch einmal.
page-notice-pay-code = Bitte geben Sie die vier Ziffern ein, die in der E-Mail stehen. Es ist noch nichts bezahlt.
page-notice-pay-wrong = { $left ->
        [one] Das sind nicht die Ziffern, die in der E-Mail stehen. Es ist nichts bezahlt. Sie haben noch einen Versuch.
       *[other] Das sind nicht die Ziffern, die in der E-Mail stehen. Es ist nichts bezahlt. Sie haben noch { $left } Versuche.
    }

page-sign-in-title = Bitte melden Sie sich zuerst an
page-sign-in-text = Über einen so hohen Betrag kann nur entscheiden, wer angemeldet ist. Melden Sie sich hier an und öffnen Sie dann den Link in der E-Mail noch einmal. Es ist nichts entschieden.
page-sign-in = Anmelden

page-decided-recorded-title = Sie haben zugestimmt.
page-decided-recorded-text = Andere müssen auch noch zustimmen. Sie brauchen nichts mehr zu tun.
page-decided-stage-done-title = Sie haben zugestimmt.
page-decided-stage-done-text = Dieser Schritt ist erledigt. Die Zuständigen des nächsten sind gefragt. Sie brauchen nichts mehr zu tun.
page-decided-approved-title = Sie haben zugestimmt, und damit ist es genehmigt.
page-decided-approved-text = Wer den Antrag gestellt hat, erfährt es. Wird an der Kasse bezahlt, bekommt eine E-Mail dazu, wer bezahlen soll.
page-decided-rejected-title = Sie haben abgelehnt.
page-decided-rejected-text = Damit ist es vorbei. Wer den Antrag gestellt hat, erfährt es, mit Ihrer Begründung.

page-decisions = Was entschieden wurde
page-decision-approve = { $who } hat zugestimmt. { $date }
page-decision-reject = { $who } hat abgelehnt. { $date }
page-decision-approve-for = { $who } hat im Namen von { $seat } zugestimmt. { $date }
page-decision-reject-for = { $who } hat im Namen von { $seat } abgelehnt. { $date }
page-decision-sole-owner = Als einziger Inhaber, über einen eigenen Antrag.
page-decision-owner-alone = Als Inhaber für alle: Es waren weniger da, als zustimmen müssen.
page-decision-former = Kann jetzt nicht mehr entscheiden. Was entschieden wurde, gilt.

page-no-approved-title = Das ist genehmigt.
page-no-approved-text = Alle, die zustimmen mussten, haben zugestimmt. Es gibt nichts mehr zu entscheiden.
page-no-rejected-title = Das ist abgelehnt.
page-no-rejected-text = Jemand hat abgelehnt, und damit ist es vorbei. Es gibt nichts mehr zu entscheiden.
page-no-expired-title = Die Zeit zum Entscheiden ist vorbei.
page-no-expired-text = Es haben nicht genug Personen rechtzeitig entschieden, also wird nichts gekauft. Der Antrag kann neu gestellt werden.
page-no-withdrawn-title = Das wird nicht mehr gewünscht.
page-no-withdrawn-text = Der Antrag wurde zurückgezogen oder braucht, so wie er jetzt ist, keine Zustimmung. Es gibt nichts mehr zu entscheiden.
page-no-stale-round-title = Das hat sich inzwischen geändert.
page-no-stale-round-text = Die E-Mail, die Sie hierher geführt hat, handelt von etwas, das so nicht mehr beantragt ist. Falls Sie wieder gefragt werden, steht der neue Link in einer neueren E-Mail.
page-no-decided-by-you-title = Sie haben schon entschieden.
page-no-decided-by-you-text = Ihre Entscheidung zählt einmal. Sie brauchen nichts mehr zu tun.
page-no-seat-used-title = In Ihrem Namen ist schon entschieden.
page-no-seat-used-text = Jemand, der Sie vertritt oder den Sie vertreten, hat entschieden. Das zählt einmal.
page-no-requester-title = Sie haben das selbst beantragt.
page-no-requester-text = Niemand entscheidet über den eigenen Antrag. Andere sind gefragt.
page-no-stands-in-for-requester-title = Sie vertreten die Person, die das beantragt hat.
page-no-stands-in-for-requester-text = Wer jemanden vertritt, entscheidet nicht über dessen Antrag. Das gilt, bis entschieden ist, auch wenn die Vertretung geendet hat.
page-no-not-asked-title = Sie sind nicht gefragt.
page-no-not-asked-text = Andere entscheiden darüber.
page-no-no-longer-eligible-title = Sie können darüber nicht mehr entscheiden.
page-no-no-longer-eligible-text = Sie waren in einer Rolle gefragt, die Sie nicht mehr haben. Andere entscheiden.
page-no-delegation-ended-title = Sie vertreten hier niemanden mehr.
page-no-delegation-ended-text = Die Zeit, in der Sie jemanden vertreten haben, ist vorbei oder wurde beendet. Diese Person entscheidet selbst.
page-no-other-stage-title = Jetzt entscheiden andere.
page-no-other-stage-text = Ihr Schritt ist erledigt oder hat noch nicht begonnen. Falls Sie noch an die Reihe kommen, bekommen Sie dann eine E-Mail.
page-no-sole-owner-unconfirmed-title = Bitte bestätigen Sie die Ausnahme.
page-no-sole-owner-unconfirmed-text = Sie sind der einzige Inhaber und haben das selbst beantragt. Sie können nur zustimmen, wenn Sie sagen, dass Sie das wissen.
page-no-sign-in-required-title = Bitte melden Sie sich zuerst an
page-no-sign-in-required-text = Über einen so hohen Betrag kann nur entscheiden, wer angemeldet ist. Melden Sie sich hier an und öffnen Sie dann den Link in der E-Mail noch einmal. Es ist nichts entschieden.

page-over-used-title = Dieser Link wurde schon benutzt.
page-over-used-text = Ein Link gilt für eine Entscheidung.
page-over-withdrawn-title = Es gibt eine neuere E-Mail.
page-over-withdrawn-text = Dieser Link wurde ersetzt oder wird nicht mehr gebraucht. Falls Sie noch entscheiden müssen, steht ein gültiger Link in der neuesten E-Mail.
page-over-tried-too-often-title = Es wurde zu oft ein falscher Code eingegeben.
page-over-tried-too-often-text = Dieser Link gilt nicht mehr. Mit ihm wurde nichts entschieden. Die nächste Erinnerung bringt einen anderen, wenn die Zeit zum Entscheiden dann nicht vorbei ist. Bis dahin können Sie in Bursar entscheiden.
page-over-expired-title = Dieser Link ist abgelaufen.
page-over-expired-text = Ein Link gilt höchstens 72 Stunden. Mit ihm wurde nichts entschieden. Eine neuere E-Mail bringt einen anderen.

page-other-person-title = Dieser Link ist für jemand anderen.
page-other-person-text = In diesem Browser sind Sie als eine Person angemeldet, für die er nicht ist. Es ist nichts geschehen. Für wen er ist, kann ihn in einem anderen Browser öffnen.
page-suspended-title = Jetzt nicht möglich.
page-suspended-text = { $organization } ist zurzeit gesperrt. So lange kann nichts entschieden oder bezahlt werden, und es ist nichts geschehen. Bitte öffnen Sie den Link später noch einmal.
page-no-such-title = Kein solcher Antrag
page-no-such-text = Zu dieser Adresse gehört kein Antrag. Bitte öffnen Sie den Link genau so, wie er in der E-Mail steht.
page-throttled-title = Zu viele Versuche
page-throttled-text = Von hier wurden zu viele Adressen geöffnet, zu denen nichts gehört. Bitte versuchen Sie es später noch einmal.
page-uncertain-title = Nicht sicher
page-uncertain-text = Die Verbindung zu unseren Büchern ist eben abgerissen. Öffnen Sie diese Seite noch einmal, um zu sehen, ob Ihre Entscheidung zählt. Sie kann nie zweimal zählen.
page-busy-title = Jetzt nicht möglich.
page-busy-text = Zurzeit ist zu viel im Gange. Es ist nichts geschehen. Bitte versuchen Sie es gleich noch einmal.
page-fault-title = Etwas ging schief
page-fault-text = Der Fehler liegt bei uns. Es ist nichts geschehen. Bitte versuchen Sie es noch einmal.
page-leave = Ohne diese Anmeldung öffnen
page-leave-hint = Mit dem Knopf vergisst dieser Browser für Links wie diesen, wer angemeldet ist. Sonst ändert sich nichts: Der Link öffnet sich dann für die Person, für die er ist; sie kann sich neu anmelden.
page-foreign-title = Nicht von hier
page-foreign-text = Dieses Formular wurde von einer fremden Seite abgeschickt. Es ist nichts geschehen.

page-pay-title = Das ist genehmigt. Sie können es bezahlen.
page-pay-text = Mit dem Öffnen dieser Seite ist nichts bezahlt. Mit dem Code, der in der E-Mail steht, führt der Knopf zur Kasse.
page-pay-button = Weiter zum Bezahlen: { $total }
page-paid-title = Das ist bezahlt.
page-paid-text = Die Credits sind gekauft. Es ist nichts mehr zu tun.
page-lapsed-title = Das war genehmigt, wurde aber nicht rechtzeitig bezahlt.
page-lapsed-text = Alle, die zustimmen mussten, haben zugestimmt. Bezahlt hat niemand, solange der Preis galt; deshalb wurde nichts gekauft. Die E-Mail, die das sagt, hat einen Link für alle, die bezahlen sollten; solange er gilt, geht es damit weiter, und immer in Bursar: Dann werden alle, die zugestimmt haben, zum Preis des Tages neu gefragt, oder der Anbieter wird um einen neuen Preis gebeten.
page-lapsed-pay-title = Das war genehmigt, wurde aber nicht rechtzeitig bezahlt.
page-lapsed-pay-text = Der Preis gilt nicht mehr, und es wurde nichts gekauft. Der Knopf bezahlt nichts: Wer zugestimmt hat, wird zum heutigen Preis noch einmal gefragt, oder der Anbieter wird um einen neuen Preis gebeten.
page-lapsed-button = Zum heutigen Preis neu anfragen
page-pay-reopened-title = Der Preis galt nicht mehr.
page-pay-reopened-text = Es wurde nichts bezahlt. Wer zugestimmt hatte, wird zum heutigen Preis noch einmal gefragt.
page-pay-not-now-title = Das kann jetzt nicht bezahlt werden.
page-pay-not-now-text = Vielleicht ist eine Zahlung unterwegs, oder der Pool ist geschlossen. Hier wurde nichts bezahlt. Bitte sehen Sie später noch einmal nach.
page-pay-left-title = Sie können das nicht mehr bezahlen.
page-pay-left-text = Sie gehören nicht mehr zu { $organization } oder dürfen dort nichts mehr kaufen. Es wurde nichts bezahlt.
page-pay-over-used-title = Dieser Link wurde schon benutzt.
page-pay-over-used-text = Die Kasse, zu der er geführt hat, ist nicht mehr offen, und zu einer anderen führt er nicht. Mit ihm wurde jetzt nichts bezahlt. Solange es bezahlt werden kann, bekommt, wer bezahlt, einen neuen Link per E-Mail, bis zu zehnmal; wer für den Pool kaufen darf, kann auch in Bursar eine Kasse öffnen.
page-pay-over-withdrawn-title = Dieser Link gilt nicht mehr.
page-pay-over-withdrawn-text = Er wurde durch einen neueren ersetzt, oder was zu bezahlen ist, hat sich geändert. Es wurde nichts bezahlt.
page-pay-over-tried-too-often-title = Es wurde zu oft ein falscher Code eingegeben.
page-pay-over-tried-too-often-text = Dieser Link gilt nicht mehr. Mit ihm wurde nichts bezahlt. Solange es bezahlt werden kann, bekommt, wer bezahlt, nach einem Tag einen neuen Link per E-Mail, bis zu zehnmal; wer für den Pool kaufen darf, kann vorher in Bursar eine Kasse öffnen.
page-pay-over-expired-title = Dieser Link ist abgelaufen.
page-pay-over-expired-text = Ein Link gilt höchstens 72 Stunden. Mit ihm wurde nichts bezahlt. Solange es bezahlt werden kann, bekommt, wer bezahlt, einen neuen Link per E-Mail, bis zu zehnmal; wer für den Pool kaufen darf, kann auch in Bursar eine Kasse öffnen.
