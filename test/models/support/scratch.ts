import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** A folder for a file's tests, and one in it that is the system's for temporary files meanwhile; both go with the tests. */
export function ownTemporary(name: string): { readonly base: string; readonly scratch: string } {
  const base = mkdtempSync(join(tmpdir(), name))
  const scratch = join(base, 'tmp')
  mkdirSync(scratch)
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = scratch
  afterAll(() => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    rmSync(base, { recursive: true, force: true })
  })
  return { base, scratch }
}
