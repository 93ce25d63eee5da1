//! Who a credential belongs to, and what that identity may do.
