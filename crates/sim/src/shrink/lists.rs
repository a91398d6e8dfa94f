//! What is smaller than a list, and what is smaller than a number?

/// The list without one part of it: without either half, without each quarter, and so on down to each single item.
#[must_use]
pub fn without<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let mut smaller = Vec::new();
    let mut size = items.len();
    while size > 0 {
        for begin in (0..items.len()).step_by(size) {
            let end = (begin + size).min(items.len());
            smaller.push([&items[..begin], &items[end..]].concat());
        }
        size /= 2;
    }
    smaller
}

/// Numbers from `floor` on that are lower than the value: the floor, half way, and closer to the value by half each.
#[must_use]
pub fn lower(value: u64, floor: u64) -> Vec<u64> {
    let mut smaller = Vec::new();
    let mut step = value.saturating_sub(floor);
    while step > 0 {
        smaller.push(value - step);
        step /= 2;
    }
    smaller
}
