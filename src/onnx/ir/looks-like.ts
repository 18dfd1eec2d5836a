/** Says what a file is that is no ONNX model, by how it begins. */

const SIGNATURES: readonly (readonly [start: string, what: string])[] = [
  ['GGUF', 'a GGUF model'],
  ['PK\x03\x04', 'a zip archive (PyTorch and Keras files are such)'],
  ['PK\x05\x06', 'an empty zip archive'],
  ['\x1f\x8b', 'a gzip archive: unpack it first'],
  ['BZh', 'a bzip2 archive: unpack it first'],
  ['\xfd7zXZ', 'an xz archive: unpack it first'],
  ['\x28\xb5\x2f\xfd', 'a zstd archive: unpack it first'],
  ['7z\xbc\xaf\x27\x1c', 'a 7z archive: unpack it first'],
  ['\x89HDF', 'an HDF5 file (Keras)'],
  ['\x93NUMPY', 'a NumPy array'],
  ['\x80\x02', 'a Python pickle'],
  ['\x80\x04', 'a Python pickle'],
  ['\x7fELF', 'a program'],
  ['MZ', 'a program'],
  ['\x89PNG', 'a picture'],
  ['%PDF', 'a PDF document'],
  ['version https://git-lfs', 'a pointer of Git LFS: the model itself was not fetched'],
]

/** A text is only called so when it could not be read: a small model may begin like one. */
export function looksLikeText(head: Uint8Array): boolean {
  return /^[\t\n\r\x20-\x7e]{16}/.test(Buffer.from(head).toString('latin1'))
}

/** `undefined` when nothing speaks against ONNX. */
export function looksLike(head: Uint8Array): string | undefined {
  if (head.length === 0) return 'an empty file'
  const text = Buffer.from(head).toString('latin1')
  const known = SIGNATURES.find(([start]) => text.startsWith(start))
  if (known !== undefined) return known[1]
  if (text.startsWith('TFL3', 4)) return 'a TensorFlow Lite model'
  if (text.startsWith('ORTM', 4)) return "a model in ONNX Runtime's own format"
  if (text.startsWith('\0\0\0\0{"', 4)) return 'a safetensors file'
  if (text.startsWith('ustar', 257)) return 'a tar archive: unpack it first'
  if (/^\s*<(?:!doctype|html|head|body|\?xml|!--)/i.test(text)) return 'a web page, perhaps an error page of the server'
  if (/^\s*[{[]\s*["{[]/.test(text)) return 'JSON, perhaps an error of the server'
  if (head.every((byte) => byte === 0)) return 'nothing but zeros, perhaps an interrupted download'
  return undefined
}
