/** Holds a fetched file against what was announced for it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { ChecksumError } from '../errors.ts'

export interface Expected {
  readonly bytes?: number | undefined
  /** Hex. */
  readonly sha256?: string | undefined
}

/** @throws ChecksumError */
export async function verifyFile(
  path: string,
  source: string,
  expected: Expected,
  signal?: AbortSignal,
  moved: (bytes: number) => void = () => {},
): Promise<void> {
  const { size } = await stat(path)
  if (expected.bytes !== undefined && size !== expected.bytes) {
    throw new ChecksumError(source, `${expected.bytes} bytes`, `${size} bytes`)
  }
  if (expected.sha256 === undefined) return
  const hash = createHash('sha256')
  const stream = createReadStream(path, { highWaterMark: 1 << 20, ...(signal === undefined ? {} : { signal }) })
  let done = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk)
    moved((done += chunk.length))
  }
  const got = hash.digest('hex')
  if (got !== expected.sha256) throw new ChecksumError(source, `SHA-256 ${expected.sha256}`, got)
}
