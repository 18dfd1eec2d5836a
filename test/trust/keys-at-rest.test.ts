/** Keys under a passphrase: nothing of them on the disk, three tries, nothing changed by a failure. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SCRYPT } from '../../src/store/index.ts'
import {
  checkFolderModes,
  checkKeyModes,
  createNetworkKey,
  identityOwner,
  keyOwner,
  keyStatus,
  loadNetworkKey,
  loadOrCreateIdentity,
  readPassphraseFile,
  sealKeys,
  unsealKeys,
} from '../../src/trust/index.ts'

const [RIGHT, WRONG] = ['correct horse battery staple', 'incorrect horse battery staple']
/** Of scrypt: a guess in a millisecond. The real one is looked at by itself. */
const CHEAP = 1 << 10

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-sealed-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const codeOf = async (action: () => Promise<unknown>): Promise<string> =>
  action().then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  )

async function filled(): Promise<{ id: string; secret: Buffer; network: Uint8Array }> {
  const { id } = await loadOrCreateIdentity({ directory })
  const network = await createNetworkKey(join(directory, 'network.key'))
  return { id, secret: await readFile(join(directory, 'identity.key')), network }
}

describe('keys under a passphrase', () => {
  test('are not on the disk in any spelling, open with it, and come back as they were', async () => {
    const { id, secret, network } = await filled()
    expect(await sealKeys(directory, RIGHT, keyOwner, CHEAP)).toEqual(['identity.key', 'network.key'])
    const seed = secret.subarray(4, 36)
    for (const name of await readdir(directory)) {
      const bytes = await readFile(join(directory, name))
      for (const spelling of ['hex', 'base64', 'latin1'] as const) {
        expect(bytes.includes(Buffer.from(seed.toString(spelling), spelling === 'latin1' ? 'latin1' : 'utf8'))).toBe(
          false,
        )
        expect(bytes.includes(Buffer.from(network).toString(spelling))).toBe(false)
      }
      expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600)
    }
    expect(await identityOwner(directory)).toBe(id)
    expect(await keyStatus(directory)).toEqual([
      { file: 'identity.key', sealed: true, of: id },
      { file: 'network.key', sealed: true, of: 'network' },
    ])
    expect((await loadOrCreateIdentity({ directory, passphrase: RIGHT })).id).toBe(id)
    expect(await loadNetworkKey(join(directory, 'network.key'), RIGHT)).toEqual(network)
    expect(await unsealKeys(directory, RIGHT)).toEqual(['identity.key', 'network.key'])
    expect(await readFile(join(directory, 'identity.key'))).toEqual(secret)
  })

  test('are refused without it and with a wrong one, three times and more, and nothing is changed', async () => {
    await filled()
    await sealKeys(directory, RIGHT, keyOwner, CHEAP)
    const before = await Promise.all((await readdir(directory)).map((name) => readFile(join(directory, name))))
    expect(await codeOf(() => loadOrCreateIdentity({ directory }))).toBe('WEFT-TRU-091')
    for (let time = 0; time < 3; time++)
      expect(await codeOf(() => loadOrCreateIdentity({ directory, passphrase: WRONG }))).toBe('WEFT-TRU-090')
    expect(await codeOf(() => unsealKeys(directory, WRONG))).toBe('WEFT-TRU-090')
    expect(await codeOf(() => loadNetworkKey(join(directory, 'network.key'), WRONG))).toBe('WEFT-TRU-090')
    expect(await Promise.all((await readdir(directory)).map((name) => readFile(join(directory, name))))).toEqual(before)
    expect(await codeOf(() => unsealKeys(directory, RIGHT))).toBe('done')
    expect(await codeOf(() => unsealKeys(directory, RIGHT))).toBe('WEFT-TRU-094')
  })

  test('open with one passphrase: a new key is not sealed with another', async () => {
    await filled()
    await sealKeys(directory, RIGHT, keyOwner, CHEAP)
    await createNetworkKey(join(directory, 'second.key'))
    expect(await codeOf(() => sealKeys(directory, WRONG, keyOwner, CHEAP))).toBe('WEFT-TRU-090')
    expect(await sealKeys(directory, RIGHT, keyOwner, CHEAP)).toEqual(['second.key'])
  })

  test('show every change of their file: of the text that is hidden, and of what is said of it', async () => {
    await loadOrCreateIdentity({ directory })
    await sealKeys(directory, RIGHT, keyOwner, CHEAP)
    const path = join(directory, 'identity.key')
    const text = await readFile(path, 'utf8')
    const codes = new Set<string>()
    for (let at = 0; at < text.length - 1; at += 7) {
      const other = text[at] === '0' ? '1' : '0'
      await writeFile(path, text.slice(0, at) + other + text.slice(at + 1))
      codes.add(await codeOf(() => loadOrCreateIdentity({ directory, passphrase: RIGHT })))
    }
    for (const cut of [1, 40, text.length - 20]) {
      await writeFile(path, text.slice(0, cut))
      codes.add(await codeOf(() => loadOrCreateIdentity({ directory, passphrase: RIGHT })))
    }
    expect([...codes].sort()).toEqual(['WEFT-TRU-002', 'WEFT-TRU-090'])
  })

  test('cost what is stated: 128 MiB a guess', async () => {
    expect(SCRYPT).toEqual({ N: 131_072, r: 8, p: 1 })
    expect(128 * SCRYPT.N * SCRYPT.r).toBe(128 << 20)
    await loadOrCreateIdentity({ directory })
    await sealKeys(directory, RIGHT, keyOwner)
    const { kdf } = JSON.parse(await readFile(join(directory, 'identity.key'), 'utf8')) as { kdf: object }
    expect(kdf).toMatchObject({ name: 'scrypt', ...SCRYPT })
  })
})

describe('a passphrase file', () => {
  const path = (): string => join(directory, 'passphrase')

  test('gives its first line, or random bytes, and must be private', async () => {
    await writeFile(path(), `${RIGHT}\nnot this\n`, { mode: 0o600 })
    expect(await readPassphraseFile(path())).toBe(RIGHT)
    await writeFile(path(), Buffer.alloc(32, 0xfe))
    expect(await readPassphraseFile(path())).toBe('fe'.repeat(32))
    await chmod(path(), 0o644)
    expect(await codeOf(() => readPassphraseFile(path()))).toBe('WEFT-TRU-092')
  })

  test.each(['', 'short', '\n\n', 'x'.repeat(5_000)])('of %j is refused', async (text) => {
    await writeFile(path(), text, { mode: 0o600 })
    expect(await codeOf(() => readPassphraseFile(path()))).toBe('WEFT-TRU-092')
    expect(await codeOf(() => readPassphraseFile(join(directory, 'nothing')))).toBe('WEFT-TRU-092')
  })
})

test('a keys folder with a file that others may read is found, whichever it is', async () => {
  await filled()
  expect(await codeOf(() => checkKeyModes(directory))).toBe('done')
  await writeFile(join(directory, 'README.md'), 'open', { mode: 0o644 })
  expect(await codeOf(() => checkKeyModes(directory))).toBe('done')
  await writeFile(join(directory, 'audit.anchor'), 'x', { mode: 0o640 })
  expect(await codeOf(() => checkKeyModes(directory))).toBe('WEFT-TRU-001')
})

test('a home, or its keys, that all may write to is not used; one for its owner and group is', async () => {
  const keys = join(directory, 'keys')
  await mkdir(keys)
  const codeWith = async (home: number, inner: number): Promise<string> => {
    await chmod(directory, home)
    await chmod(keys, inner)
    return codeOf(() => checkFolderModes([directory, keys]))
  }
  expect(await codeWith(0o700, 0o700)).toBe('done')
  expect(await codeWith(0o775, 0o755)).toBe('done')
  expect(await codeWith(0o700, 0o777)).toBe('WEFT-TRU-006')
  expect(await codeWith(0o777, 0o700)).toBe('WEFT-TRU-006')
  // as in /tmp: nobody can take away what others have put there
  expect(await codeWith(0o1777, 0o700)).toBe('done')
  expect(await codeOf(() => checkFolderModes([join(directory, 'not-there')]))).toBe('done')
})
