//! Deliveries: what has to leave Bursar for somebody, and what has become of it.

string_enum! {
    /// How something is delivered.
    DeliveryKind {
        /// By e-mail.
        Mail = "MAIL",
    }
}

string_enum! {
    /// What has become of a delivery.
    DeliveryState {
        /// It is to be delivered, now or when it is due again.
        Pending = "PENDING",
        /// Whoever takes it on has taken it.
        Delivered = "DELIVERED",
        /// It was refused, or tried too often: nothing more is done until somebody asks for it.
        Dead = "DEAD",
    }
}

string_enum! {
    /// Why a delivery failed, as far as it is anybody's business. What a mail server says in its own words comes after it,
    /// and may name the vendor's account there: that is for the vendor's staff.
    DeliveryFault {
        /// For good, by the server.
        Refused = "the mail server refused the recipient or the letter",
        /// For now.
        NotTaken = "the mail server could not be reached, or did not take the letter",
        /// What it would lead to is over.
        Expired = "its link has expired",
        /// It makes no letter.
        Unwritable = "it cannot be written",
        /// No try came to an end.
        Spent = "it was tried too often",
        /// Somebody else will try again.
        CutOff = "the server was stopped in the middle",
        /// Nobody knows any more for whom it was.
        Forgotten = "the person was forgotten",
    }
}

impl DeliveryFault {
    /// The kind that a text begins with.
    pub fn of(reason: &str) -> Option<DeliveryFault> {
        DeliveryFault::ALL.iter().copied().find(|fault| reason.starts_with(fault.as_str()))
    }
}

string_enum! {
    /// What a mail says.
    MailTemplate {
        /// Somebody is asked whether something may be bought.
        ApprovalWanted = "APPROVAL_WANTED",
        /// What has become of a request for approval.
        ApprovalDecided = "APPROVAL_DECIDED",
        /// Somebody is asked into an organization.
        Invitation = "INVITATION",
        /// Money arrived that could not be booked: the vendor's staff has to decide.
        PaymentParked = "PAYMENT_PARKED",
        /// What was agreed to can be paid.
        PurchaseToPay = "PURCHASE_TO_PAY",
        /// An organization asks for a price: the vendor's staff has to answer.
        QuoteRequested = "QUOTE_REQUESTED",
        /// The vendor has answered a quote request.
        QuoteAnswered = "QUOTE_ANSWERED",
        /// Somebody has to agree that a way of paying is charged.
        TopUpConsent = "TOP_UP_CONSENT",
        /// A person asked for a link to sign in with.
        SignInLink = "SIGN_IN_LINK",
    }
}
