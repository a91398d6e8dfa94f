//! Does the search find what is needed, and does it end?

use super::{Budget, Shrink, lower, shrink, without};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers(Vec<u64>);

impl Shrink for Numbers {
    fn smaller(&self) -> Vec<Self> {
        let fewer = without(&self.0).into_iter();
        let lower = self.0.iter().enumerate().flat_map(|(index, number)| {
            lower(*number, 0).into_iter().map(move |lower| {
                let mut numbers = self.0.clone();
                numbers[index] = lower;
                numbers
            })
        });
        fewer.chain(lower).map(Self).collect()
    }
}

fn fails(numbers: &Numbers) -> bool {
    numbers.0.iter().any(|number| *number >= 17) && numbers.0.iter().any(|number| *number % 5 == 3)
}

#[test]
fn only_what_is_needed_is_left() {
    let first = Numbers((0..60).collect());
    let shrunk = shrink(first.clone(), Budget::default(), fails);
    assert!(shrunk.is_minimal);
    assert!(fails(&shrunk.value));
    assert!(!shrunk.value.smaller().iter().any(fails), "{:?} can be smaller", shrunk.value);
    assert!(shrunk.value.0.len() <= 2);
    assert_eq!(shrunk, shrink(first, Budget::default(), fails), "it is deterministic");
}

#[test]
fn a_search_ends_with_its_budget() {
    let first = Numbers((0..60).collect());
    let shrunk = shrink(first.clone(), Budget { runs: 3, ..Budget::default() }, fails);
    assert_eq!((shrunk.runs, shrunk.is_minimal), (3, false));
    let shrunk = shrink(first.clone(), Budget { time: Duration::ZERO, ..Budget::default() }, fails);
    assert_eq!((shrunk.value, shrunk.runs), (first, 0));
}

#[test]
fn parts_become_finer() {
    assert_eq!(without(&[1, 2, 3]), [vec![], vec![2, 3], vec![1, 3], vec![1, 2]]);
    assert_eq!(without::<u8>(&[]), Vec::<Vec<u8>>::new());
    assert_eq!(lower(12, 2), [2, 7, 10, 11]);
    assert_eq!(lower(2, 2), Vec::<u64>::new());
}
