//! Result files, exports, standard streams and input files that are not what they should be.
