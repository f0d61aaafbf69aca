//! Xen from the host: domains through xl, and a connection to XenStore.
