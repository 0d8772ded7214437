//! What comparing came to so far, for the log.

use crate::observe::tally::Tally;
use crate::policy::DifferenceKind;

/// Logs how many messages were compared with what the signer before us made of them, and each kind of difference with what to
/// do about it. Nothing where none was.
pub fn report_comparisons(tally: &Tally) {
    if tally.compared() == 0 {
        return;
    }
    for kind in DifferenceKind::ALL.into_iter().filter(|kind| tally.of_difference(*kind) > 0) {
        let (messages, remedy) = (tally.of_difference(kind), kind.remedy());
        tracing::info!(%kind, messages, remedy, "the signer before us differs");
    }
    tracing::info!(
        compared = tally.compared(),
        same = tally.compared_same(),
        signatures_replaced = tally.replaced(),
        "compared with the signer before us since the start"
    );
}
