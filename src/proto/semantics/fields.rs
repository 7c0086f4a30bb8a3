//! Header fields as offsets into the bytes they were parsed from.

/// A range of the bytes that a message was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Makes a span from offsets, which must be below 4 GiB: larger ones are cut off.
    pub(in crate::proto) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Returns the range of `part` in `whole`, of which it must be a slice.
    pub(in crate::proto) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        Self::new(start, start.wrapping_add(part.len()))
    }

    /// Returns the part of `bytes` that the span names. `bytes` must be those that were parsed, or a copy; of
    /// others it returns unrelated bytes, or none if the span exceeds them.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Returns the offset of the first byte.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Returns the offset behind the last byte.
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Returns the number of bytes in the range.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Returns `true` if the range is empty.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One field line: its name, and its value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Range of the name.
    pub name: Span,
    /// Range of the value.
    pub value: Span,
}

/// Field lines together with the bytes that hold them.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    fields: &'a [Field],
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(in crate::proto) fn new(fields: &'a [Field], bytes: &'a [u8]) -> Self {
        Self { fields, bytes }
    }

    /// Returns the number of field lines.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns `true` if there are no field lines.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Iterates over the field lines in the order received, with names as the peer spelt them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| (field.name.of(bytes), field.value.of(bytes)))
    }

    /// Returns the first value of this name; `None` if there is none. Names compare without regard to case.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Iterates over the values of this name; names compare without regard to case.
    pub fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
