import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createNetworkKey,
  DamagedKeyFileError,
  isPeerId,
  KeyFileAccessError,
  KeyFileExistsError,
  loadNetworkKey,
  loadOrCreateIdentity,
  LooseKeyFileError,
  MissingKeyFileError,
  newIdentity,
  verify,
} from '../../src/trust/index.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-trust-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const keyPath = (): string => join(directory, 'identity.key')

describe('the identity of a peer', () => {
  test('is made once, and is the same at the next start', async () => {
    const first = await loadOrCreateIdentity({ directory })
    const second = await loadOrCreateIdentity({ directory })
    expect(second.id).toBe(first.id)
    expect(first.id).toMatch(/^12D3KooW/)
    expect(isPeerId(first.id)).toBe(true)
    expect(await readdir(directory)).toEqual(['identity.key'])
  })

  test('is the 68-byte protobuf of libp2p, mode 0600 under any umask', async () => {
    const folders = [0o000, 0o022, 0o777]
    for (const mask of folders) {
      const before = process.umask(mask)
      try {
        await loadOrCreateIdentity({ directory: join(directory) })
      } finally {
        process.umask(before)
      }
      expect((await stat(keyPath())).mode & 0o777).toBe(0o600)
      const bytes = await readFile(keyPath())
      expect(bytes.length).toBe(68)
      expect(privateKeyFromProtobuf(bytes).type).toBe('Ed25519')
      await rm(keyPath())
    }
  })

  test('is one, when several processes of a home start at once', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateIdentity({ directory })))
    expect(new Set(all.map((one) => one.id)).size).toBe(1)
  })

  test('is refused when others can read it, and the error says chmod', async () => {
    await loadOrCreateIdentity({ directory })
    for (const mode of [0o604, 0o640, 0o666, 0o610]) {
      await chmod(keyPath(), mode)
      const error = await loadOrCreateIdentity({ directory }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(LooseKeyFileError)
      expect((error as LooseKeyFileError).hint).toBe(`chmod 600 ${keyPath()}`)
    }
    await chmod(keyPath(), 0o400)
    await expect(loadOrCreateIdentity({ directory })).resolves.toBeDefined()
  })

  test('is refused when it is damaged in any byte, cut or empty, and never replaced', async () => {
    await loadOrCreateIdentity({ directory })
    const good = await readFile(keyPath())
    const bad = [Buffer.alloc(0), good.subarray(0, 67), Buffer.concat([good, Buffer.from('\n')]), Buffer.alloc(68)]
    for (let at = 0; at < good.length; at += 5) {
      const flipped = Buffer.from(good)
      flipped[at]! ^= 1
      bad.push(flipped)
    }
    for (const content of bad) {
      await writeFile(keyPath(), content)
      await expect(loadOrCreateIdentity({ directory })).rejects.toBeInstanceOf(DamagedKeyFileError)
      expect(await readFile(keyPath())).toEqual(content)
    }
  })

  test('is not read through a link or a folder', async () => {
    await symlink('/dev/zero', keyPath())
    await expect(loadOrCreateIdentity({ directory })).rejects.toBeInstanceOf(DamagedKeyFileError)
  })

  test('says so when the folder cannot be written', async () => {
    await writeFile(join(directory, 'file'), '')
    await expect(loadOrCreateIdentity({ directory: join(directory, 'file') })).rejects.toBeInstanceOf(
      KeyFileAccessError,
    )
  })

  test('signs, and anybody who knows the id can check it', () => {
    const [a, b] = [newIdentity(), newIdentity()]
    const message = new TextEncoder().encode('a record')
    const signature = a.sign(message)
    expect(signature.length).toBe(64)
    expect(verify(a.id, message, signature)).toBe(true)
    expect(verify(b.id, message, signature)).toBe(false)
    expect(verify(a.id, new TextEncoder().encode('a recorD'), signature)).toBe(false)
    expect(verify(a.id, message, signature.subarray(0, 63))).toBe(false)
    expect(verify('no peer', message, signature)).toBe(false)
  })

  test('signs like libp2p does, so that either can check the other', async () => {
    const one = newIdentity()
    const message = new TextEncoder().encode('crossing')
    expect(await one.privateKey.publicKey.verify(message, one.sign(message))).toBe(true)
    expect(verify(one.id, message, await one.privateKey.sign(message))).toBe(true)
  })
})

describe('the network key', () => {
  test('is one line of text of mode 0600 that reads back', async () => {
    const path = join(directory, 'net.key')
    const key = await createNetworkKey(path)
    expect(key.length).toBe(32)
    expect((await readFile(path, 'utf8')).trimEnd()).toBe(`weft-network-key/1 ${Buffer.from(key).toString('hex')}`)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await loadNetworkKey(path)).toEqual(key)
  })

  test('is never overwritten, and missing, loose or damaged ones are told apart', async () => {
    const path = join(directory, 'net.key')
    await expect(loadNetworkKey(path)).rejects.toBeInstanceOf(MissingKeyFileError)
    await createNetworkKey(path)
    await expect(createNetworkKey(path)).rejects.toBeInstanceOf(KeyFileExistsError)
    await chmod(path, 0o644)
    await expect(loadNetworkKey(path)).rejects.toBeInstanceOf(LooseKeyFileError)
    for (const text of [
      '',
      'weft-network-key/2 ' + 'a'.repeat(64),
      'weft-network-key/1 ' + 'A'.repeat(64),
      'a'.repeat(64),
    ]) {
      await writeFile(path, text)
      await chmod(path, 0o600)
      await expect(loadNetworkKey(path)).rejects.toBeInstanceOf(DamagedKeyFileError)
    }
  })
})
