//! What is wrong with a policy, and what its owners should know before they rely on it.

string_enum! {
    /// What is wrong with a policy.
    PolicyFaultKind {
        /// A rule or stage has no name, or too long a one.
        Unnamed = "UNNAMED",
        /// A rule has no stages.
        NoStages = "NO_STAGES",
        /// A stage names nobody.
        EmptyStage = "EMPTY_STAGE",
        /// A stage names people, and none of them can decide.
        NobodyEligible = "NOBODY_ELIGIBLE",
        /// More have to agree than there are who may; counted over all stages, since nobody decides twice.
        UnreachableQuorum = "UNREACHABLE_QUORUM",
        /// Nobody has to agree in a stage, or more than a hundred.
        BadQuorum = "BAD_QUORUM",
        /// A bound is above its counterpart, or a list is empty.
        NeverMatches = "NEVER_MATCHES",
        /// Earlier rules, one or several together, fit whatever this one fits.
        Shadowed = "SHADOWED",
        /// Auditors are named, who change nothing.
        AuditorNamed = "AUDITOR_NAMED",
        /// There are amounts of money, and no currency.
        NoCurrency = "NO_CURRENCY",
        /// An amount is negative.
        BadAmount = "BAD_AMOUNT",
        /// There is more than there may be of something.
        TooMany = "TOO_MANY",
        /// A time is too short or too long, or what it is for would come after the end.
        BadTiming = "BAD_TIMING",
    }
}

string_enum! {
    /// What owners should know of a policy that can be saved.
    PolicyWarningKind {
        /// Some who may ask are needed to agree: when they ask, an owner decides instead.
        RequesterShort = "REQUESTER_SHORT",
        /// There is one owner only: what nobody else can decide waits for them, or is theirs alone.
        OneOwner = "ONE_OWNER",
    }
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// What.
    pub kind: PolicyFaultKind,
    /// In which rule, from 0; none: in no particular one.
    pub rule: Option<usize>,
    /// In which of its stages, from 0.
    pub stage: Option<usize>,
}

/// What should be known, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyWarning {
    /// What.
    pub kind: PolicyWarningKind,
    /// Of which rule, from 0; none: of the organization.
    pub rule: Option<usize>,
    /// Of which of its stages, from 0.
    pub stage: Option<usize>,
}
