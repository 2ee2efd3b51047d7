# Mails about purchases that somebody has to agree to.

mail-wanted-subject = Decision wanted: { $title } for { $total } ({ $organization })
mail-reminder-subject = Reminder: decision wanted on { $title } for { $total } ({ $organization })
mail-wanted-heading = Your decision is wanted
mail-asks = { $requester } asks for { $title } for the pool { $pool }.
mail-buys-itself = The pool { $pool } buys by itself: { $title }.
mail-nobody-asks = To be bought for the pool { $pool }: { $title }.

mail-because-reminder = You have not decided yet. Links in earlier mails no longer work; please use the one in this mail.
mail-because-renewed = You have not decided yet, and the link in the mail before this one is over or soon will be. Please use the one in this mail.
mail-because-overdue = Those who were asked first have taken too long, so the owners may decide as well.
mail-because-unreachable = There are fewer people who may decide than have to agree, so one owner may decide alone.
mail-because-barred = Some of those who were asked cannot decide, since they stand in for whoever asks or have decided in somebody else's name. So the owners may decide as well.
mail-because-stand-in = You are asked because you stand in for { $name }.
mail-because-edited = The request was changed: this is round { $round }. What was decided before no longer counts.
mail-because-price-expired = The price was no longer valid: this is round { $round }, at the price of the day. What was decided before no longer counts.
mail-sole-owner = You are the only owner and have asked for this yourself, so nobody else can decide. The page asks you to confirm that, and it is recorded.
mail-sign-in = For an amount like this you have to sign in before you decide. The page says how.

mail-label-order = What
mail-label-pool = For the pool
mail-label-total = Total
mail-label-set-by = Set up by
mail-label-reason = Why
mail-label-balance = In the pool now
mail-label-used = Used in the last 90 days
mail-label-lasts = Lasts at this rate
mail-label-lasts-with = Lasts with this purchase
mail-label-stage = Step
mail-label-needed = Have to agree
mail-label-name-of = You decide in the name of
mail-label-until = To be decided by
mail-label-pay-until = To be paid by
mail-label-by = Rejected by
mail-label-why-not = Reason

mail-credits = { $count ->
    [one] { $number } credit
   *[other] { $number } credits
}
mail-owed = { $credits }; { $number } owed
mail-days = { $count ->
    [one] about { $number } day
   *[other] about { $number } days
}
mail-unused = nothing was used
mail-stage = { $number } of { $of }: { $name }
mail-needed = { $quorum } (so far: { $approved })
mail-alone = one owner, alone

mail-decide = Decide
mail-pay = Go to payment
mail-ask-anew = Ask again
mail-code = The page asks for this code:
mail-opens-nothing = Opening the page decides nothing. Nothing happens until you enter the code and choose.
mail-link-until = The link is for you alone and works once, until { $date }. Do not pass it on, nor the code.
mail-pay-link-until = The link is for you alone and works until { $date }, for one checkout. Do not pass it on, nor the code. Opening it pays nothing.
mail-plain-link = If the button does not work, copy this address into your browser:
mail-sent-by = Sent by Bursar for { $organization }. Nobody reads answers to this mail.

mail-approved-subject = Approved: { $title } for { $total } ({ $organization })
mail-approved-heading = Approved
mail-approved-text = Everybody who had to has agreed to { $title } for the pool { $pool }.
mail-approved-unpaid-text = Everybody who had to has agreed to { $title } for the pool { $pool }. It is not paid yet: whoever is to pay has a mail about that, and the credits come in once it is paid.
mail-invoiced-heading = Approved and bought
mail-invoiced-text = Everybody who had to has agreed to { $title } for the pool { $pool }. It was bought on invoice, and the credits are in.
mail-rejected-subject = Rejected: { $title } for { $total } ({ $organization })
mail-rejected-heading = Rejected
mail-rejected-text = Somebody who was asked has said no to { $title } for the pool { $pool }. It is not bought.
mail-expired-subject = Expired: { $title } for { $total } ({ $organization })
mail-expired-heading = Nobody decided in time
mail-expired-text = The time to decide about { $title } for the pool { $pool } is over. It is not bought; you can ask for it again.
mail-lapsed-subject = Not paid in time: { $title } for { $total } ({ $organization })
mail-lapsed-heading = Agreed to, and not paid in time
mail-lapsed-text = Everybody who had to has agreed to { $title } for the pool { $pool }, but its price no longer holds, and nothing was bought. If it is still wanted, go on to pay it in Bursar: those who have agreed are asked again at the price of that day, or the vendor is asked for another price.
mail-lapsed-pay-text = Everybody who had to has agreed to { $title } for the pool { $pool }, but its price no longer holds, and nothing was bought. If it is still wanted, you can have it asked for again. The button pays nothing: those who have agreed are asked again at the price of that day, or the vendor is asked for another price.
mail-withdrawn-subject = No longer to be decided: { $title } for { $total } ({ $organization })
mail-withdrawn-heading = No longer to be decided
mail-withdrawn-text = Nobody has to agree any more to { $title } for the pool { $pool }: it was changed or is not wanted any more.
mail-new-round-subject = To be agreed to again: { $title } for { $total } ({ $organization })
mail-new-round-heading = A new round has begun
mail-new-round-text = Agreement to { $title } for the pool { $pool } is needed again. Whoever is to decide gets a mail when it is their turn.
mail-stuck-subject = Nobody can decide: { $title } for { $total } ({ $organization })
mail-stuck-heading = Nobody can decide
mail-stuck-text = As things stand, nobody may decide about { $title } for the pool { $pool }. It waits until people or roles change, or until its time is over.
mail-unpaid-subject = Not paid yet: { $title } for { $total } ({ $organization })
mail-unpaid-heading = Agreed to, and not paid
mail-unpaid-text = Everybody who had to has agreed to { $title } for the pool { $pool }, but paying it could not begin by itself. Pay it in Bursar: there it says what stands in the way.
mail-declined-subject = Payment declined: { $title } for { $total } ({ $organization })
mail-declined-heading = Agreed to, and the payment was declined
mail-declined-text = Everybody who had to has agreed to { $title } for the pool { $pool }, but the way of paying that is kept for the pool was declined. Nothing was paid or bought, and this purchase is over. Unless it was declined too often, the pool asks again later when it still needs credits, and then those who have agreed are asked again. In Bursar you can see why it was declined, and set another way of paying.

mail-pay-subject = To be paid: { $title } for { $total } ({ $organization })
mail-pay-heading = Approved, and now to be paid
mail-pay-text = Everybody who had to has agreed to { $title } for the pool { $pool }. The credits come in once it is paid.
mail-pay-again = This is not paid yet, and a link that was sent for it before leads to payment no more. Please use the one in this mail.
mail-not-on-invoice = It could not be bought on invoice this time, so it is paid at a checkout.
