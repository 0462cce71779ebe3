//! Result tables to figures in one house style.
