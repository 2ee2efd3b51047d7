//! Credit requests: somebody asks a pool's administrators for credits.

string_enum! {
    /// What has become of a credit request.
    CreditRequestState {
        /// Nobody has answered yet.
        Open = "OPEN",
        /// Credits were allocated to the department.
        Allocated = "ALLOCATED",
        /// A spending cap was raised for a time.
        CapRaised = "CAP_RAISED",
        /// A purchase was asked for that names the request.
        PurchaseRequested = "PURCHASE_REQUESTED",
        /// The answer was no.
        Declined = "DECLINED",
        /// Whoever asked took it back.
        Withdrawn = "WITHDRAWN",
    }
}

impl CreditRequestState {
    /// Whether it can still be answered.
    pub const fn is_open(self) -> bool {
        matches!(self, CreditRequestState::Open)
    }
}
