/** Several files as one range of bytes. */
import { ModelFileError } from '../errors.ts'
import type { RandomAccess } from './random-access.ts'

/** Files as if each began where the one before it ends. No tensor lies across two. */
export function joinedAccess(files: readonly RandomAccess[]): RandomAccess {
  const starts: number[] = []
  let size = 0
  for (const file of files) {
    starts.push(size)
    size += file.size
  }
  const fileAt = (offset: number): [file: RandomAccess, start: number] => {
    const index = starts.findLastIndex((start) => start <= offset)
    const file = files[index]
    if (file === undefined) throw new ModelFileError('file', `it has no byte ${offset}`)
    return [file, starts[index]!]
  }
  return {
    size,
    async read(offset, length) {
      const [file, start] = fileAt(offset)
      return file.read(offset - start, length)
    },
    async fill(bytes, offset) {
      const [file, start] = fileAt(offset)
      await file.fill(bytes, offset - start)
    },
    async unchanged() {
      for (const file of files) await file.unchanged()
    },
    async close() {
      for (const file of files) await file.close()
    },
  }
}
