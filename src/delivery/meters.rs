//! What delivering tells about itself.

use std::time::Duration;

use bursar_domain::delivery::DeliveryState;
use metrics::{Gauge, Histogram, counter, gauge, histogram};

/// The metrics of deliveries.
#[derive(Clone)]
pub(super) struct Meters {
    waiting: Gauge,
    seconds: Histogram,
}

impl Meters {
    /// Registers the metrics.
    pub fn new() -> Meters {
        let (waiting, seconds) = (gauge!("bursar_deliveries_waiting"), histogram!("bursar_delivery_seconds"));
        Meters { waiting, seconds }
    }

    /// So many wait, for now or for later.
    pub fn waiting(&self, number: i64) {
        // A gauge takes whole numbers of 32 bits without loss.
        self.waiting.set(u32::try_from(number).unwrap_or(u32::MAX));
    }

    /// A delivery was tried for some time, and this has become of it.
    pub fn tried(&self, took: Duration, state: DeliveryState) {
        let outcome = match state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Pending => "again",
            DeliveryState::Dead => "dead",
        };
        self.seconds.record(took);
        counter!("bursar_deliveries_total", "outcome" => outcome).increment(1);
    }
}
