//! HOT PATH. The headers of a message. librdkafka gives names as C text, so that one with a NUL in it comes out cut; and it
//! gives up on a list that it cannot parse or that is longer than it takes. Both must not pass for what was written.

use std::ffi::CStr;
use std::marker::PhantomData;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::{OK, Queue, slice};

/// There are none.
const NONE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR__NOENT;

/// Iterator over (name, value); null values are `None`.
pub(crate) struct Headers<'a> {
    list: *const sys::rd_kafka_headers_t,
    next: usize,
    is_cut: bool,
    message: PhantomData<&'a Queue>,
}

impl<'a> Headers<'a> {
    /// Those of a live message; `Err` tells what is wrong with them.
    #[inline]
    pub(super) fn of(message: &'a sys::rd_kafka_message_t) -> Result<Self, &'static str> {
        let mut list = std::ptr::null_mut();
        // SAFETY: the list is owned by the message; it is written only on success.
        match unsafe { sys::rd_kafka_message_headers(message, &mut list) } {
            OK => Ok(Self::new(list)),
            NONE => Ok(Self::new(std::ptr::null())),
            _ => Err("a list of headers that cannot be read, or has more than 100,000 of them"),
        }
    }

    fn new(list: *const sys::rd_kafka_headers_t) -> Self {
        Self { list, next: 0, is_cut: false, message: PhantomData }
    }

    /// Whether a name that came out was cut at a NUL in it. librdkafka says nothing about the length of a name, but it
    /// keeps name, NUL and value in one piece of memory. (Where such a header has a null value, this does not see it.)
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: the list lives as long as the message; name and value point into it.
        let (name, value) = unsafe {
            let found = sys::rd_kafka_header_get_all(self.list, self.next, &mut name, &mut value, &mut size);
            if found != OK {
                return None;
            }
            (CStr::from_ptr(name).to_bytes_with_nul(), slice(value.cast(), size))
        };
        self.next += 1;
        self.is_cut |= value.is_some_and(|value| name.as_ptr_range().end != value.as_ptr());
        Some((name.strip_suffix(&[0]).unwrap_or(name), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    type Owned = (Vec<u8>, Option<Vec<u8>>);

    fn owned((name, value): Header<'_>) -> Owned {
        (name.to_vec(), value.map(<[u8]>::to_vec))
    }

    /// What comes out, and whether it is known to be cut.
    fn through_the_client(headers: &[Header<'_>]) -> (Vec<Owned>, bool) {
        // SAFETY: the list is ours until it is destroyed; the calls copy what they are given.
        unsafe {
            let list = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let (bytes, len) = value.map_or((std::ptr::null(), 0), |v| (v.as_ptr(), v.len()));
                sys::rd_kafka_header_add(list, name.as_ptr().cast(), name.len() as isize, bytes.cast(), len as isize);
            }
            let mut read = Headers::new(list);
            let found = read.by_ref().map(owned).collect();
            let is_cut = read.is_cut();
            sys::rd_kafka_headers_destroy(list);
            (found, is_cut)
        }
    }

    #[test]
    fn a_name_that_was_cut_is_noticed() {
        let whole: [Header<'_>; 5] =
            [(b"a", Some(b"1")), (b"", Some(b"2")), (b"c", Some(b"")), (b"d", None), (b"\xff", Some(b"\0"))];
        let (found, is_cut) = through_the_client(&whole);
        assert_eq!((found, is_cut), (whole.map(owned).to_vec(), false));
        for cut in [&b"a\0b"[..], b"\0", b"a\0"] {
            assert!(through_the_client(&[(b"x", Some(b"1")), (cut, Some(b"2"))]).1, "{cut:?}");
        }
    }
}
