# E-Mails über Käufe, denen jemand zustimmen muss.

mail-wanted-subject = Entscheidung gefragt: { $title } für { $total } ({ $organization })
mail-reminder-subject = Erinnerung: Entscheidung gefragt über { $title } für { $total } ({ $organization })
mail-wanted-heading = Ihre Entscheidung ist gefragt
mail-asks = { $requester } beantragt { $title } für den Pool { $pool }.
mail-buys-itself = Der Pool { $pool } kauft von selbst: { $title }.
mail-nobody-asks = Für den Pool { $pool } soll gekauft werden: { $title }.

mail-because-reminder = Sie haben noch nicht entschieden. Links in früheren E-Mails gelten nicht mehr; bitte nehmen Sie den in dieser E-Mail.
mail-because-renewed = Sie haben noch nicht entschieden, und der Link in der vorigen E-Mail ist abgelaufen oder läuft bald ab. Bitte nehmen Sie den in dieser E-Mail.
mail-because-overdue = Die zuerst Gefragten haben zu lange gebraucht; deshalb können auch die Inhaber entscheiden.
mail-because-unreachable = Es gibt weniger Personen, die entscheiden dürfen, als zustimmen müssen; deshalb kann ein Inhaber allein entscheiden.
mail-because-barred = Einige der Gefragten können nicht entscheiden, weil sie vertreten, wer beantragt, oder schon für jemand anderen entschieden haben; darum können auch die Inhaber entscheiden.
mail-because-stand-in = Sie werden gefragt, weil Sie { $name } vertreten.
mail-because-edited = Der Antrag wurde geändert: Dies ist Runde { $round }. Was vorher entschieden wurde, gilt nicht mehr.
mail-because-price-expired = Der Preis galt nicht mehr: Dies ist Runde { $round }, zum Tagespreis. Was vorher entschieden wurde, gilt nicht mehr.
mail-sole-owner = Sie sind die einzige Inhaberin oder der einzige Inhaber und haben dies selbst beantragt; sonst kann also niemand entscheiden. Die Seite bittet Sie, das zu bestätigen, und es wird festgehalten.
mail-sign-in = Bei einem Betrag wie diesem müssen Sie sich anmelden, bevor Sie entscheiden. Die Seite sagt, wie.

mail-label-order = Was
mail-label-pool = Für den Pool
mail-label-total = Gesamtbetrag
mail-label-set-by = Eingerichtet von
mail-label-reason = Wofür
mail-label-balance = Jetzt im Pool
mail-label-used = Verbraucht in den letzten 90 Tagen
mail-label-lasts = Reicht bei diesem Verbrauch
mail-label-lasts-with = Reicht mit diesem Kauf
mail-label-stage = Schritt
mail-label-needed = Zustimmen müssen
mail-label-name-of = Sie entscheiden im Namen von
mail-label-until = Zu entscheiden bis
mail-label-pay-until = Zu bezahlen bis
mail-label-by = Abgelehnt von
mail-label-why-not = Begründung

mail-credits = { $count ->
    [one] { $number } Credit
   *[other] { $number } Credits
}
mail-owed = { $credits }; { $number } im Minus
mail-days = { $count ->
    [one] etwa { $number } Tag
   *[other] etwa { $number } Tage
}
mail-unused = nichts verbraucht
mail-stage = { $number } von { $of }: { $name }
mail-needed = { $quorum } (bisher: { $approved })
mail-alone = ein Inhaber, allein

mail-decide = Entscheiden
mail-pay = Zur Bezahlung
mail-ask-anew = Neu anfragen
mail-code = Die Seite fragt nach diesem Code:
mail-opens-nothing = Mit dem Öffnen der Seite ist nichts entschieden. Es geschieht nichts, bis Sie den Code eingeben und wählen.
mail-link-until = Der Link ist nur für Sie und gilt einmal, bis { $date }. Geben Sie ihn nicht weiter, und auch den Code nicht.
mail-pay-link-until = Der Link ist nur für Sie und gilt bis { $date }, für eine Kasse. Geben Sie weder ihn noch den Code weiter. Mit dem Öffnen ist nichts bezahlt.
mail-plain-link = Wenn der Knopf nicht geht, kopieren Sie diese Adresse in Ihren Browser:
mail-sent-by = Gesendet von Bursar für { $organization }. Antworten auf diese E-Mail liest niemand.

mail-approved-subject = Genehmigt: { $title } für { $total } ({ $organization })
mail-approved-heading = Genehmigt
mail-approved-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }.
mail-approved-unpaid-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Bezahlt ist noch nicht: Wer bezahlen soll, hat dazu eine E-Mail, und die Credits kommen, sobald bezahlt ist.
mail-invoiced-heading = Genehmigt und gekauft
mail-invoiced-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Es wurde auf Rechnung gekauft, und die Credits sind da.
mail-rejected-subject = Abgelehnt: { $title } für { $total } ({ $organization })
mail-rejected-heading = Abgelehnt
mail-rejected-text = Jemand, der gefragt war, hat abgelehnt: { $title } für den Pool { $pool }. Es wird nicht gekauft.
mail-expired-subject = Abgelaufen: { $title } für { $total } ({ $organization })
mail-expired-heading = Niemand hat rechtzeitig entschieden
mail-expired-text = Die Zeit für eine Entscheidung ist vorbei: { $title } für den Pool { $pool }. Es wird nicht gekauft; Sie können es neu beantragen.
mail-lapsed-subject = Nicht rechtzeitig bezahlt: { $title } für { $total } ({ $organization })
mail-lapsed-heading = Genehmigt und nicht rechtzeitig bezahlt
mail-lapsed-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Der Preis gilt aber nicht mehr, und es wurde nichts gekauft. Wenn es noch gewünscht ist, gehen Sie in Bursar zum Bezahlen: Dann werden alle, die zugestimmt haben, zum Preis des Tages neu gefragt, oder der Anbieter wird um einen neuen Preis gebeten.
mail-lapsed-pay-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Der Preis gilt aber nicht mehr, und es wurde nichts gekauft. Wenn es noch gewünscht ist, können Sie neu anfragen lassen. Der Knopf bezahlt nichts: Alle, die zugestimmt haben, werden zum Preis des Tages neu gefragt, oder der Anbieter wird um einen neuen Preis gebeten.
mail-withdrawn-subject = Nicht mehr zu entscheiden: { $title } für { $total } ({ $organization })
mail-withdrawn-heading = Nicht mehr zu entscheiden
mail-withdrawn-text = Niemand muss mehr zustimmen: { $title } für den Pool { $pool } wurde geändert oder ist nicht mehr gewünscht.
mail-new-round-subject = Neu zu genehmigen: { $title } für { $total } ({ $organization })
mail-new-round-heading = Eine neue Runde hat begonnen
mail-new-round-text = { $title } für den Pool { $pool }: Dafür ist neue Zustimmung nötig. Wer entscheiden soll, bekommt dazu eine E-Mail, wenn es so weit ist.
mail-stuck-subject = Niemand kann entscheiden: { $title } für { $total } ({ $organization })
mail-stuck-heading = Niemand kann entscheiden
mail-stuck-text = So wie es steht, kann niemand entscheiden: { $title } für den Pool { $pool }. Es wartet, bis sich Personen oder Rollen ändern oder die Zeit vorbei ist.
mail-unpaid-subject = Noch nicht bezahlt: { $title } für { $total } ({ $organization })
mail-unpaid-heading = Genehmigt und nicht bezahlt
mail-unpaid-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Die Zahlung konnte aber nicht von selbst beginnen. Bezahlen Sie in Bursar: Dort steht, was im Weg ist.
mail-declined-subject = Zahlung abgelehnt: { $title } für { $total } ({ $organization })
mail-declined-heading = Genehmigt, und die Zahlung wurde abgelehnt
mail-declined-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Das hinterlegte Zahlungsmittel des Pools wurde aber abgelehnt. Es wurde nichts bezahlt und nichts gekauft, und dieser Kauf ist zu Ende. Wenn es nicht zu oft abgelehnt wurde und dem Pool dann noch Credits fehlen, fragt er später neu an, und alle, die zugestimmt haben, werden noch einmal gefragt. In Bursar sehen Sie, warum abgelehnt wurde, und können ein anderes Zahlungsmittel angeben.

mail-pay-subject = Zu bezahlen: { $title } für { $total } ({ $organization })
mail-pay-heading = Genehmigt und jetzt zu bezahlen
mail-pay-text = Alle, die zustimmen mussten, haben zugestimmt: { $title } für den Pool { $pool }. Die Credits kommen, sobald bezahlt ist.
mail-pay-again = Das ist noch nicht bezahlt, und ein Link, der dafür früher verschickt wurde, führt nicht mehr zur Bezahlung. Bitte nehmen Sie den in dieser E-Mail.
mail-not-on-invoice = Diesmal konnte nicht auf Rechnung gekauft werden; bezahlt wird deshalb an der Kasse.
