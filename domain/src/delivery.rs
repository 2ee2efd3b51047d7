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
    /// What a mail says.
    MailTemplate {
        /// Somebody is asked into an organization.
        Invitation = "INVITATION",
        /// A person asked for a link to sign in with.
        SignInLink = "SIGN_IN_LINK",
    }
}
