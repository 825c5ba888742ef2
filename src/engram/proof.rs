//! The semantic proof: does a query find the right one of two contexts?
