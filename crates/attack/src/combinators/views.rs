//! Which views? A range of them, as an attack's window.

use quorate_types::View;
use std::fmt;
use std::ops::{Range, RangeFrom, RangeInclusive, RangeTo};
use std::str::FromStr;

/// A range of views, not empty. As text `3..6`: views 3, 4 and 5; `3..`: from view 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Views {
    first: View,
    end: Option<View>,
}

/// A range of views: `views(3..6)`, `views(3..=5)`, `views(3..)` or `views(..6)`.
///
/// # Panics
/// If there is no view in it; [`Views::new`] gives an error instead.
#[must_use]
pub fn views(range: impl Into<Views>) -> Views {
    range.into()
}

impl Views {
    /// From `first` up to before `end`, or without an end.
    ///
    /// # Errors
    /// [`ViewsError`] if there is no view in it.
    pub fn new(first: View, end: Option<View>) -> Result<Self, ViewsError> {
        if end.is_some_and(|end| end <= first) { Err(ViewsError::Empty) } else { Ok(Self { first, end }) }
    }
    /// The first of them.
    #[must_use]
    pub const fn first(&self) -> View {
        self.first
    }
    /// The first view after them.
    #[must_use]
    pub const fn end(&self) -> Option<View> {
        self.end
    }
    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, view: View) -> bool {
        self.first <= view && !self.is_before(view)
    }
    /// Whether all of them are before this one.
    #[must_use]
    pub fn is_before(&self, view: View) -> bool {
        self.end.is_some_and(|end| end <= view)
    }
}

/// Why something is no range of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewsError {
    /// It has no view in it.
    Empty,
    /// It is written in another way.
    Syntax,
}

impl fmt::Display for ViewsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no view in it",
            Self::Syntax => "views are written `3..6`, or `3..` for all from view 3 on",
        })
    }
}

impl std::error::Error for ViewsError {}

fn or_panic(first: u64, end: Option<u64>) -> Views {
    Views::new(View(first), end.map(View)).unwrap_or_else(|error| panic!("{first}..{end:?}: {error}"))
}

impl From<Range<u64>> for Views {
    fn from(range: Range<u64>) -> Self {
        or_panic(range.start, Some(range.end))
    }
}

impl From<RangeInclusive<u64>> for Views {
    fn from(range: RangeInclusive<u64>) -> Self {
        or_panic(*range.start(), range.end().checked_add(1))
    }
}

impl From<RangeFrom<u64>> for Views {
    fn from(range: RangeFrom<u64>) -> Self {
        or_panic(range.start, None)
    }
}

impl From<RangeTo<u64>> for Views {
    fn from(range: RangeTo<u64>) -> Self {
        or_panic(0, Some(range.end))
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.first.0)?;
        self.end.map_or(Ok(()), |end| write!(f, "{}", end.0))
    }
}

impl FromStr for Views {
    type Err = ViewsError;

    fn from_str(text: &str) -> Result<Self, ViewsError> {
        let (first, end) = text.split_once("..").ok_or(ViewsError::Syntax)?;
        let number = |text: &str| text.parse().map(View).map_err(|_| ViewsError::Syntax);
        let end = if end.is_empty() { None } else { Some(number(end)?) };
        Self::new(number(first)?, end)
    }
}
