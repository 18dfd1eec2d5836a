/** Limits of what is read, each with its reason. */

/** One array. A typed array may be larger; a frame's sizes and the engine's tests stop about here. */
export const MAX_ARRAY_BYTES = 2 ** 31
/** All arrays of a file together: they are in memory at once. */
export const MAX_FILE_BYTES = 2 ** 33
/** An array whose rows are read one by one, onto a disk where memory does not hold them: more than one disk has. */
export const MAX_STREAMED_BYTES = 2 ** 44
/** Elements that are texts: each is an object, of 24 bytes at least, however short. */
export const MAX_TEXTS = 2 ** 24
/** NumPy's own reader stops at 10,000 characters unless it is told otherwise. */
export const MAX_HEADER_BYTES = 2 ** 16
/** NumPy's own limit (NPY_MAXDIMS of NumPy 2). */
export const MAX_RANK = 64
/** Arrays of one archive: an input each, and no model has nearly as many. */
export const MAX_ARRAYS = 16_384
/** Of deflate: no input unpacks to more than 1,032 times its size (zlib's technical notes). */
export const MOST_UNPACKED = 1032
