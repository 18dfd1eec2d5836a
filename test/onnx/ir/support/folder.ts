/** A folder for the files of a test file. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'

/** Made before the tests of the file and removed after them. */
export function testFolder(): (name: string) => string {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-ir-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return (name) => join(folder, name)
}

/** That it fails with this class, and with words that match. */
export async function expectRefusal(
  action: Promise<unknown> | (() => unknown),
  kind: new (...facts: never[]) => Error,
  words: RegExp,
): Promise<void> {
  const error = await (typeof action === 'function' ? Promise.resolve().then(action) : action).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(kind)
  expect((error as Error).message).toMatch(words)
}
