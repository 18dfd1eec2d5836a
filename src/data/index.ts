/** Data in files: named arrays as NumPy writes them. */
export { ArrayUnreadableError, DATA_ERRORS } from './errors.ts'
export { readNpy, readNpz } from './numpy/npz.ts'
export { writeNpz } from './numpy/write-npz.ts'
