//! Who acts.

code_enum! {
    /// What kind of caller did something.
    ActorKind {
        /// A person.
        User = 1,
        /// Bursar itself: a timer, a payment that arrived, the set-up of demonstration data.
        System = 2,
        /// A key of an organization's or of the vendor's.
        ApiKey = 3,
    }
}
