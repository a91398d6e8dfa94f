//! Do the fuzz targets hold on a stable compiler, with random bytes alone?

use proptest::prelude::*;
use quorate_consensus::Record;
use quorate_fuzz::record_entry::record;

/// Valid entries, so that a change of one byte gets far.
fn seeds() -> Vec<Vec<u8>> {
    let records = [
        Record::Init,
        Record::Entered(quorate_types::View(300)),
        Record::Committed(quorate_types::Height(300), quorate_types::Digest::default()),
    ];
    records.iter().map(|record| [&[0, 0][..], &record.encode().head].concat()).collect()
}

proptest! {
    #[test]
    fn no_record_panics(data in proptest::collection::vec(any::<u8>(), 0..512)) {
        record(&data);
    }

    #[test]
    fn no_changed_record_panics(
        seed in proptest::sample::select(seeds()),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut data = seed;
        let place = place.index(data.len());
        data[place] = byte;
        record(&data);
    }
}
