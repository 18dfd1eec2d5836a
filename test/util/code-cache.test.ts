import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { codeCacheEnv } from '../../src/util/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-code-'))
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

it("the compiled program of a child lies in the folder it is given, this user's alone, unless Node's own variable says where", () => {
  const own = join(folder, 'code')
  vi.stubEnv('NODE_COMPILE_CACHE', '/elsewhere')
  expect(codeCacheEnv(own)).toEqual({ NODE_COMPILE_CACHE: '/elsewhere' })
  expect(statSync(own, { throwIfNoEntry: false })).toBeUndefined()
  for (const none of ['', undefined]) {
    vi.stubEnv('NODE_COMPILE_CACHE', none)
    expect(codeCacheEnv(own)).toEqual({ NODE_COMPILE_CACHE: own })
    expect(statSync(own).mode & 0o777).toBe(0o700)
  }
})
