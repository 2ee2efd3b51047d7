# The pages where somebody decides about a purchase, or pays what was agreed to.

page-error = Not yet:

page-label-order = What
page-label-pool = For the pool
page-label-total = Total
page-label-requester = Asked for by
page-label-reason = Why
page-label-balance = In the pool now
page-label-used = Used in the last 90 days
page-label-lasts = Lasts without this purchase
page-label-lasts-with = Lasts with it
page-label-stage = Step
page-label-approved = Agreed so far
page-label-name-of = You decide in the name of
page-label-cause = Why you are asked again
page-label-until = Decide by
page-label-pay-until = Pay by

page-credits = { $count ->
        [one] { $number } credit
       *[other] { $number } credits
    }
page-owed = { $number } owed
page-days = { $count ->
        [one] about { $number } day
       *[other] about { $number } days
    }
page-unused = nothing was used
page-stage = { $number } of { $of }: { $name }
page-approved = { $approved } of { $quorum }
page-alone = One owner may decide alone
page-cause-edited = What is asked for was changed. This is round { $round }.
page-cause-price-expired = The price was no longer valid. This is round { $round }, at the price of that day.
page-by-itself = the pool, by itself (set by { $name })
page-former = somebody who has left

page-open-title = Your decision is wanted
page-open-text = Opening this page has decided nothing. Nothing happens until you enter the code and choose.
page-form = Your decision
page-code-label = The four digits in the mail
page-code-hint = The mail that led you here shows them. The link does not carry them.
page-reason-label = Your reason
page-reason-hint = Needed when you reject. When you approve you may leave it empty. Whoever has asked sees it.
page-sole-owner = I am the only owner, and I agree to what I have asked for myself. This exception is recorded.
page-approve = Approve
page-reject = Reject
page-stranger = The link is yours alone, good once, until { $date }. If you do not know what this is about, close this page. Nothing happens then.

page-notice-again = Nothing was decided yet: this page was open for too long. Please enter the code and choose once more.
page-notice-choice = Please choose: approve or reject. Nothing was decided yet.
page-notice-code = Please enter the four digits that the mail shows. Nothing was decided yet.
page-notice-reason = Please say why you reject it. Nothing was decided yet.
page-notice-long = The reason can have { $most } characters at most. Nothing was decided yet.
page-notice-hidden = The reason has characters that cannot be seen, or that change the direction of the text. Please type it without them. Nothing was decided yet.
page-notice-sole-owner = Please tick that you know that you agree to what you have asked for yourself. Nothing was decided yet.
page-notice-wrong = { $left ->
        [one] These are not the digits that the mail shows. Nothing was decided. You have one more try.
       *[other] These are not the digits that the mail shows. Nothing was decided. You have { $left } more tries.
    }
page-notice-pay = Nothing was paid yet: this page was open for too long. Please enter the code and press the button once more.
page-notice-pay-code = Please enter the four digits that the mail shows. Nothing was paid yet.
page-notice-pay-wrong = { $left ->
        [one] These are not the digits that the mail shows. Nothing was paid. You have one more try.
       *[other] These are not the digits that the mail shows. Nothing was paid. You have { $left } more tries.
    }

page-sign-in-title = Please sign in first
page-sign-in-text = About so large a total one can decide only when signed in. Sign in here, then open the link in the mail again. Nothing was decided.
page-sign-in = Sign in

page-decided-recorded-title = You have agreed.
page-decided-recorded-text = Others have to agree as well. There is nothing more for you to do.
page-decided-stage-done-title = You have agreed.
page-decided-stage-done-text = This step is done. Those of the next one have been asked. There is nothing more for you to do.
page-decided-approved-title = You have agreed, and with that it is approved.
page-decided-approved-text = Whoever has asked is told. If it is paid at a checkout, whoever is to pay gets a mail about that.
page-decided-rejected-title = You have rejected it.
page-decided-rejected-text = It is over. Whoever has asked is told, with your reason.

page-decisions = What was decided
page-decision-approve = { $who } has agreed. { $date }
page-decision-reject = { $who } has rejected it. { $date }
page-decision-approve-for = { $who } has agreed in the name of { $seat }. { $date }
page-decision-reject-for = { $who } has rejected it in the name of { $seat }. { $date }
page-decision-sole-owner = As the only owner, about what they have asked for themselves.
page-decision-owner-alone = As one owner for all: fewer were left than have to agree.
page-decision-former = They can no longer decide now. What was decided stands.

page-no-approved-title = This has been approved.
page-no-approved-text = Everybody who had to agree has agreed. There is nothing more to decide.
page-no-rejected-title = This has been rejected.
page-no-rejected-text = Somebody has said no, and that ends it. There is nothing more to decide.
page-no-expired-title = The time to decide is over.
page-no-expired-text = Not enough people have decided in time, so nothing is bought. Whoever has asked can ask again.
page-no-withdrawn-title = This is no longer wanted.
page-no-withdrawn-text = The request was withdrawn, or needs nobody's consent as it is now. There is nothing more to decide.
page-no-stale-round-title = This has changed since.
page-no-stale-round-text = The mail that led you here is about something that is no longer asked for. If you are asked again, a newer mail has the new link.
page-no-decided-by-you-title = You have decided already.
page-no-decided-by-you-text = Your decision counts once. There is nothing more for you to do.
page-no-seat-used-title = This was decided in your name already.
page-no-seat-used-text = Somebody who stands in for you, or for whom you stand in, has decided. That counts once.
page-no-requester-title = You have asked for this yourself.
page-no-requester-text = Nobody decides about what they have asked for. Others have been asked.
page-no-stands-in-for-requester-title = You stand in for whoever has asked for this.
page-no-stands-in-for-requester-text = Whoever stands in for somebody does not decide about what that person has asked for. That holds until this is decided, also when standing in has ended.
page-no-not-asked-title = You were not asked.
page-no-not-asked-text = Others decide about this.
page-no-no-longer-eligible-title = You can no longer decide about this.
page-no-no-longer-eligible-text = You were asked in a role that you no longer have. Others decide.
page-no-delegation-ended-title = You no longer stand in for anybody here.
page-no-delegation-ended-text = The time for which you stood in for somebody is over, or was ended. That person decides.
page-no-other-stage-title = Others decide now.
page-no-other-stage-text = Your step is done, or has not begun. If your turn is still to come, you get a mail then.
page-no-sole-owner-unconfirmed-title = Please confirm the exception.
page-no-sole-owner-unconfirmed-text = You are the only owner and have asked for this yourself. You can agree only when you say that you know that.
page-no-sign-in-required-title = Please sign in first
page-no-sign-in-required-text = About so large a total one can decide only when signed in. Sign in here, then open the link in the mail again. Nothing was decided.

page-over-used-title = This link was used before.
page-over-used-text = A link is good for one decision.
page-over-withdrawn-title = There is a newer mail.
page-over-withdrawn-text = This link was replaced, or is not needed any more. If you still have to decide, the newest mail has a link that is good.
page-over-tried-too-often-title = A wrong code was entered too often.
page-over-tried-too-often-text = This link is no longer good. Nothing was decided by it. The next reminder brings another one, if the time to decide is not over by then. Until then you can decide in Bursar.
page-over-expired-title = This link has expired.
page-over-expired-text = A link is good for 72 hours at most. Nothing was decided by it. A newer mail brings another one.

page-other-person-title = This link is for somebody else.
page-other-person-text = You are signed in in this browser as a person whom it is not for. Nothing was done. Whoever it is for can open it in another browser.
page-suspended-title = Not possible now.
page-suspended-text = { $organization } is suspended at the moment. Nothing can be decided or paid meanwhile, and nothing was. Please open the link again later.
page-no-such-title = No such request
page-no-such-text = This address belongs to no request. Please open the link exactly as it is in the mail.
page-throttled-title = Too many tries
page-throttled-text = Too many addresses that belong to nothing were opened from here. Please try again later.
page-uncertain-title = Not certain
page-uncertain-text = The connection to our records broke just now. Open this page again to see whether your decision counts. It can never count twice.
page-busy-title = Not possible now.
page-busy-text = Too much is under way at the moment. Nothing was done. Please try again shortly.
page-fault-title = Something went wrong
page-fault-text = The fault is on our side. Nothing was done. Please try again.
page-leave = Open it without this sign-in
page-leave-hint = The button has this browser forget, for links like this one, who has signed in. Nothing else changes: the link then opens for whoever it is for, who may sign in anew.
page-foreign-title = Not from here
page-foreign-text = This form was sent from another site. Nothing was done.

page-pay-title = This is approved. You can pay for it.
page-pay-text = Opening this page has paid nothing. With the code that the mail shows, the button leads to the checkout.
page-pay-button = Go on to pay { $total }
page-paid-title = This is paid.
page-paid-text = The credits were bought. There is nothing more to do.
page-lapsed-title = This was approved, but not paid in time.
page-lapsed-text = Everybody who had to has agreed. Nobody has paid as long as the price held, so nothing was bought. The mail that says so has a link for whoever was to pay; as long as it is good they can go on by that, and always in Bursar: those who have agreed are asked again at the price of that day, or the vendor is asked for another price.
page-lapsed-pay-title = This was approved, but not paid in time.
page-lapsed-pay-text = The price no longer holds, and nothing was bought. The button pays nothing: those who have agreed are asked again, at the price of today, or the vendor is asked for another price.
page-lapsed-button = Ask again at the price of today
page-pay-reopened-title = The price was no longer valid.
page-pay-reopened-text = Nothing was paid. Those who had agreed are asked again, at the price of today.
page-pay-not-now-title = It cannot be paid now.
page-pay-not-now-text = A payment may be under way, or the pool may be closed. Nothing was paid here. Please look again later.
page-pay-left-title = You can no longer pay for this.
page-pay-left-text = You do not belong to { $organization } any more, or may no longer buy anything there. Nothing was paid.
page-pay-over-used-title = This link was used before.
page-pay-over-used-text = The checkout that it led to is no longer open, and it leads to no other one. Nothing was paid by it now. As long as it can be paid, another link comes by mail to whoever pays, up to ten times; whoever may buy for the pool can also start a checkout in Bursar.
page-pay-over-withdrawn-title = This link is no longer good.
page-pay-over-withdrawn-text = It was replaced by a newer one, or what is to be paid has changed. Nothing was paid.
page-pay-over-tried-too-often-title = A wrong code was entered too often.
page-pay-over-tried-too-often-text = This link is no longer good. Nothing was paid by it. As long as it can be paid, another link comes by mail to whoever pays, up to ten times, each after a day; whoever may buy for the pool can start a checkout in Bursar before.
page-pay-over-expired-title = This link has expired.
page-pay-over-expired-text = A link is good for 72 hours at most. Nothing was paid by it. As long as it can be paid, another link comes by mail to whoever pays, up to ten times; whoever may buy for the pool can also start a checkout in Bursar.
