//! What can be configured, as librdkafka lists it for its own documentation.

use std::ffi::c_char;
use std::ptr;

use rdkafka::bindings as sys;

/// The text of librdkafka's CONFIGURATION.md; empty when there is no memory for it.
pub(crate) fn all_properties() -> String {
    let (mut text, mut size): (*mut c_char, usize) = (ptr::null_mut(), 0);
    // SAFETY: the stream writes both variables when it is closed, and they outlive it; the text is ours and freed once.
    unsafe {
        let stream = libc::open_memstream(&mut text, &mut size);
        if stream.is_null() {
            return String::new();
        }
        sys::rd_kafka_conf_properties_show(stream);
        libc::fclose(stream);
        let listing = super::slice(text.cast(), size).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        libc::free(text.cast());
        listing.unwrap_or_default()
    }
}
