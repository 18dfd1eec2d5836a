import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  ApiKeyInitError,
  ApiKeyMissingError,
  ApiKeysBusyError,
  createApiKeys,
  DamagedKeyFileError,
  LooseKeyFileError,
} from '../../src/trust/index.ts'
import type { ApiKeys } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'

let home: string
let path: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'weft-keys-'))
  path = join(home, 'keys', 'api-keys.json')
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function keysOf(shift = 0): ApiKeys {
  const clock = { ...systemClock(), wall: () => 1_700_000_000_000 + shift, sleep: () => Promise.resolve() }
  return createApiKeys({ clock, random: systemRandom() }, { directory: join(home, 'keys') })
}

describe('API keys', () => {
  test('a key is shown once, kept as a hash in a private file, and verified', async () => {
    const keys = keysOf()
    expect(await keys.list()).toEqual([])
    expect(await keys.verify('anything')).toBe(null)
    const made = await keys.create({ name: 'laptop', scopes: ['generate'] })
    expect(made.secret).toMatch(/^wk_[\w-]{43}$/)
    expect(readFileSync(path, 'utf8')).not.toContain(made.secret.slice(3))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(home, 'keys')).mode & 0o777).toBe(0o700)
    expect(await keys.verify(made.secret)).toMatchObject({ id: made.id, scopes: ['generate'], name: 'laptop' })
    for (const wrong of ['', 'wk_', made.secret.slice(0, -1), `${made.secret} `, made.id, made.secret.toUpperCase()])
      expect(await keys.verify(wrong), wrong).toBe(null)
    expect(JSON.stringify(await keys.list())).not.toMatch(/sha256|wk_/)
  })

  test('another process sees what was made and revoked at once', async () => {
    const [here, there] = [keysOf(), keysOf()]
    const one = await here.create({ name: 'one' })
    expect(await there.verify(one.secret)).toMatchObject({ name: 'one', scopes: ['generate', 'read'] })
    const two = await there.create({ name: 'two', scopes: ['admin'] })
    expect(await here.verify(two.secret)).toMatchObject({ name: 'two' })
    expect(await here.holds(one.id)).toBe(true)
    await there.revoke(one.id)
    expect(await here.verify(one.secret)).toBe(null)
    expect([await here.holds(one.id), await here.holds(two.id)]).toEqual([false, true])
    expect(await here.verify(two.secret)).not.toBe(null)
    await expect(here.revoke(one.id)).rejects.toBeInstanceOf(ApiKeyMissingError)
  })

  test('a key expires', async () => {
    const made = await keysOf().create({ name: 'guest', lifetime: 1_000 })
    expect(await keysOf(999).verify(made.secret)).not.toBe(null)
    expect(await keysOf(1_000).verify(made.secret)).toBe(null)
    expect([await keysOf(999).holds(made.id), await keysOf(1_000).holds(made.id)]).toEqual([true, false])
    expect((await keysOf(5_000).list()).length).toBe(1)
  })

  test('names, scopes and expiries are checked, and nothing is written when they are wrong', async () => {
    const keys = keysOf()
    const wrong = [
      { name: ' ' },
      { name: 'x'.repeat(65) },
      { name: 'x', scopes: [] },
      { name: 'x', scopes: ['root' as 'admin'] },
      { name: 'x', lifetime: 0 },
      { name: 'x', lifetime: -1 },
      { name: 'x', lifetime: Number.NaN },
      { name: 'x', lifetime: Infinity },
    ]
    for (const init of wrong) await expect(keys.create(init)).rejects.toBeInstanceOf(ApiKeyInitError)
    expect(existsSync(path)).toBe(false)
  })

  test('many at once are all kept, and neither locks nor temporary files are left', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, (_, index) => keysOf().create({ name: `k${index}` })))
    const keys = keysOf()
    expect((await keys.list()).length).toBe(20)
    for (const { secret } of made) expect(await keys.verify(secret)).not.toBe(null)
    expect(readdirSync(join(home, 'keys'))).toEqual(['api-keys.json'])
  })

  test('a lock of a process that is gone is taken over; of one that lives, waited for and named', async () => {
    await keysOf().create({ name: 'first' })
    writeFileSync(`${path}.lock`, '999999999')
    await keysOf().create({ name: 'second' })
    expect((await keysOf().list()).length).toBe(2)
    writeFileSync(`${path}.lock`, String(process.pid))
    let now = 0
    const clock = { ...systemClock(), now: () => (now += 500), sleep: () => Promise.resolve() }
    const waiting = createApiKeys({ clock, random: systemRandom() }, { directory: join(home, 'keys') })
    await expect(waiting.create({ name: 'third' })).rejects.toBeInstanceOf(ApiKeysBusyError)
  })

  test('a damaged file or one that others may read opens no door: it is an error, and it is not replaced', async () => {
    const keys = keysOf()
    const { secret } = await keys.create({ name: 'x' })
    const good = readFileSync(path, 'utf8')
    for (const bad of [
      '',
      '{}',
      good.replace('sha256', 'sha1'),
      good.slice(0, -20),
      good.replace('generate', 'root'),
    ]) {
      writeFileSync(path, bad)
      await expect(keys.verify(secret)).rejects.toBeInstanceOf(DamagedKeyFileError)
      await expect(keys.create({ name: 'y' })).rejects.toBeInstanceOf(DamagedKeyFileError)
      expect(readFileSync(path, 'utf8')).toBe(bad)
    }
    writeFileSync(path, good)
    expect(await keys.verify(secret)).not.toBe(null)
    chmodSync(path, 0o644)
    await expect(keys.verify(secret)).rejects.toBeInstanceOf(LooseKeyFileError)
  })
})
