//! The places in a document where the parser may stand.

/// Where the parser stands; what it takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Document,
    TopKey,
    Results,
    ResultEntry,
    ResultKey,
    SeriesList,
    SeriesEntry,
    SeriesKey,
    Name,
    Tags,
    TagKey,
    TagValue,
    Columns,
    Column,
    Values,
    Rows,
    Refusal,
    Flag(Back),
    Skip(Back),
}

/// Where to go on behind a flag or a skipped value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    Document,
    Top,
    Result,
    List,
    Series,
}

impl Back {
    pub(super) const fn state(self) -> State {
        match self {
            Self::Document => State::Document,
            Self::Top => State::TopKey,
            Self::Result => State::ResultKey,
            Self::List => State::SeriesEntry,
            Self::Series => State::SeriesKey,
        }
    }
}

impl State {
    /// In words, for error messages.
    pub(super) const fn expects(self) -> &'static str {
        match self {
            Self::Document => "a document",
            Self::TopKey | Self::ResultKey | Self::SeriesKey | Self::TagKey => "a key",
            Self::Results => "an array with one result",
            Self::ResultEntry => "a result",
            Self::SeriesList => "an array of series",
            Self::SeriesEntry => "a series",
            Self::Name => "a measurement",
            Self::Tags => "a map of tags",
            Self::TagValue => "a tag's value",
            Self::Columns => "an array of two columns",
            Self::Column => "a column's name",
            Self::Values => "an array of rows",
            Self::Rows => "a row",
            Self::Refusal => "an error's text",
            Self::Flag(_) => "true or false",
            Self::Skip(_) => "a value",
        }
    }
}
