//! Instants. Civil time (zones, months) is the shell's affair; the rules compare instants only.

/// A UTC instant in whole microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The instant `micros` microseconds after the epoch (before it when negative).
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `seconds` later, kept within the representable range.
    pub const fn plus_seconds(self, seconds: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// The instant `days` times 24 hours later, kept within the representable range.
    pub const fn plus_days(self, days: i64) -> Timestamp {
        self.plus_seconds(days.saturating_mul(86_400))
    }
}

integer_column!(Timestamp, "timestamp", |micros| Some(Timestamp(micros)), Timestamp::micros);
