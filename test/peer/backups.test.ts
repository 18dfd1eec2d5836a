/** Backups that lie on another peer: they come back whole, and nobody else can read, change or remove them. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../src/net/index.ts'
import type { Frame, Network } from '../../src/net/index.ts'
import { claimableVaults, claimBackup, fetchBackup, sendBackup } from '../../src/peer/backups/carry.ts'
import type { Carried } from '../../src/peer/backups/carry.ts'
import { keepFor, keptFolder } from '../../src/peer/backups/keeping.ts'
import { BACKUP, BACKUP_PROTOCOL, refusalOf } from '../../src/peer/backups/protocol.ts'
import { keepBackups } from '../../src/peer/backups/serve.ts'
import { decodeControl } from '../../src/net/index.ts'
import {
  claimSeed,
  createBackup,
  openVault,
  signClaim,
  vaultHeader,
  restoreBackup,
  verifyBackup,
} from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { createMemoryHub } from '../mesh/memory-network.ts'
import type { MemoryHub } from '../mesh/memory-network.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'

const SECRET = 'correct horse battery staple'
const [owner, other, guest] = [newIdentity().id, newIdentity().id, newIdentity().id]
const [clock, random] = [systemClock(), systemRandom()]

let folder: string
let hub: MemoryHub
let places: { readonly root: string; readonly state: string }
let told: string[]
let guests: Set<string>
let guesses: string[]
let time: ReturnType<typeof virtualClock>
let networks: ReadonlyMap<string, Network>
let send: (from?: string) => Promise<Carried>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-kept-'))
  places = { root: join(folder, 'keeper'), state: join(folder, 'keeper', 'state') }
  await mkdir(places.state, { recursive: true })
  hub = createMemoryHub({ clock })
  told = []
  guests = new Set([guest])
  guesses = []
  time = virtualClock()
  keepBackups({
    network: hub.network('keeper'),
    clock: time,
    random,
    paths: places,
    site: {
      note: ({ who, what, result }) => void told.push(`${who} ${what} ${result}`),
      tally: ({ who, what }) => void told.push(`${who} ${what}`),
    },
    telemetry: { count: () => undefined },
    mayClaim: (peer) => !guests.has(peer),
    guessed: (peer) => void guesses.push(peer),
  })
  networks = new Map([owner, other, guest].map((id) => [id, hub.network(id)]))
  hub.connectAll()
  const network = networks.get(owner)!
  send = (from = 'to') => sendBackup({ network, clock, random }, 'keeper', join(folder, from))
  await mkdir(join(folder, 'home', 'state'), { recursive: true })
  await mkdir(join(folder, 'home', 'keys'))
  await writeFile(join(folder, 'home', 'keys', 'identity.key'), 'canary-of-a-private-key')
  await writeFile(join(folder, 'home', 'state', 'large.bin'), Buffer.alloc(300_000, 'abcdefg'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function make(into = 'to', wall = 1e12): Promise<void> {
  const vault = await openVault(join(folder, into), SECRET, { create: true, cost: 1 << 10 })
  await createBackup(vault, { home: join(folder, 'home'), peer: owner, wall, version: '0' })
}

const vaultAt = (directory: string): ReturnType<typeof openVault> => openVault(directory, SECRET, { create: false })

describe('a backup on another peer', () => {
  it('goes there once, and only what is new the second time; comes back, and is restored', async () => {
    await keepFor(places, owner, 1e9)
    await make()
    const first = await send()
    expect(first).toMatchObject({ carried: first.files - 1 })
    expect(await send()).toMatchObject({ carried: 0, files: first.files })
    await writeFile(join(folder, 'home', 'state', 'new.json'), '{}')
    await make('to', 1e12 + 1000)
    expect(await send()).toMatchObject({ carried: 2, files: first.files + 2 })
    expect(told).toEqual([`peer:${owner} backup.kept`, `peer:${owner} backup.kept`])
    const network = networks.get(owner)!
    const back = join(folder, 'back')
    expect(await fetchBackup({ network, clock, random }, 'keeper', back)).toMatchObject({ carried: first.files + 1 })
    const home = join(folder, 'restored')
    await restoreBackup(await vaultAt(back), { home, own: undefined })
    expect(await readFile(join(home, 'keys', 'identity.key'), 'utf8')).toBe('canary-of-a-private-key')
    expect(existsSync(join(home, 'state', 'new.json'))).toBe(true)
    // What the keeper has is a folder like any other, for the day on which the device is gone.
    expect(await verifyBackup(await vaultAt(keptFolder(places, owner)))).toMatchObject({ peer: owner })
  })

  it('that is cut off on its way is no backup there, and is one after the next try', async () => {
    await keepFor(places, owner, 1e9)
    await make()
    let frames = 0
    hub.tamper((each, from) => (from === owner && ++frames > 5 ? new Error('the cable was pulled') : each))
    await expect(send()).rejects.toThrow('the cable was pulled')
    hub.tamper(undefined)
    const kept = keptFolder(places, owner)
    expect(await (await vaultAt(kept)).lists()).toEqual([])
    await send()
    expect(await verifyBackup(await vaultAt(kept))).toMatchObject({ files: 2 })
  })

  it('is kept for whom a person has named alone, up to its limit', async () => {
    await make()
    await expect(send()).rejects.toMatchObject({ code: 'WEFT-CFG-013' })
    await keepFor(places, owner, 10_000)
    await expect(send()).rejects.toMatchObject({ code: 'WEFT-STO-048' })
    await keepFor(places, owner, 1e9)
    await send()
    await keepFor(places, owner, 0)
    await expect(send()).rejects.toMatchObject({ code: 'WEFT-CFG-013' })
    await writeFile(join(places.state, 'backup-keeping.json'), '{')
    await expect(send()).rejects.toMatchObject({ code: 'WEFT-CFG-014' })
    expect(await verifyBackup(await vaultAt(keptFolder(places, owner)))).toMatchObject({ files: 2 })
  })

  it('is not written over by another folder of the same peer', async () => {
    await keepFor(places, owner, 1e9)
    await make()
    await send()
    await make('another')
    await expect(send('another')).rejects.toMatchObject({ code: 'WEFT-STO-047' })
    expect(await verifyBackup(await vaultAt(keptFolder(places, owner)))).toMatchObject({ files: 2 })
  })
})

describe('a backup of an identity that was lost', () => {
  const needsOf = (as: string) => ({ network: networks.get(as)!, clock, random })
  const back = (): string => join(folder, 'back')
  async function keysFor(as: string, secret: string, of?: string): Promise<{ vault: string; seed: string }[]> {
    const { vaults } = await claimableVaults(needsOf(as), 'keeper', of)
    const all = vaults.map(async ({ vault, kdf }) => ({
      vault,
      seed: (await claimSeed(secret, kdf, 1 << 10)).toString('hex'),
    }))
    return Promise.all(all)
  }
  async function claim(as: string, secret: string, of?: string): Promise<Carried> {
    const keys = await keysFor(as, secret, of)
    return claimBackup(needsOf(as), { peer: 'keeper', directory: back(), keys })
  }
  beforeEach(async () => {
    await keepFor(places, owner, 1e9)
    await make()
    await send()
  })

  it('is given to a member that has its passphrase, whole, and restored; the second time as well', async () => {
    const got = await claim(other, SECRET)
    expect(got).toMatchObject({ carried: got.files - 1 })
    expect(await claim(other, SECRET, owner)).toMatchObject({ carried: 0, files: got.files })
    const home = join(folder, 'restored')
    await restoreBackup(await vaultAt(back()), { home, own: undefined })
    expect(await readFile(join(home, 'keys', 'identity.key'), 'utf8')).toBe('canary-of-a-private-key')
    // noted each time: what is only counted waits with what strangers cause, and a kill takes it
    expect(told.filter((line) => line === `peer:${other} backup.claimed ok`)).toHaveLength(2)
    expect(guesses).toEqual([])
  })

  it('is not given for another passphrase, nor to a guest or a stranger with the right one', async () => {
    await expect(claim(other, 'another one')).rejects.toMatchObject({ code: 'WEFT-CFG-015' })
    expect(guesses).toEqual([other])
    await expect(claim(guest, SECRET)).rejects.toMatchObject({ code: 'WEFT-CFG-015' })
    const keys = await keysFor(other, SECRET)
    await expect(claimBackup(needsOf(guest), { peer: 'keeper', directory: back(), keys })).rejects.toMatchObject({
      code: 'WEFT-CFG-015',
    })
    await expect(claim(other, SECRET, newIdentity().id)).rejects.toMatchObject({ code: 'WEFT-STO-040' })
    expect(existsSync(back())).toBe(false)
  })

  it('is guessed at eight times an hour, by each peer for itself', async () => {
    for (let guess = 0; guess < 8; guess++)
      await expect(claim(other, `guess ${guess}`)).rejects.toMatchObject({ code: 'WEFT-CFG-015' })
    await expect(claim(other, SECRET)).rejects.toMatchObject({ code: 'WEFT-CFG-016' })
    await claim(owner, SECRET)
    await time.advance(3_600_000)
    await claim(other, SECRET)
    expect(guesses).toHaveLength(8)
  })

  it('is not given for a proof that was seen: of another channel, peer, folder or try', async () => {
    const { kdf } = await vaultHeader(keptFolder(places, owner))
    const seed = await claimSeed(SECRET, kdf, 1 << 10)
    const ask = async (talk: Asker, control: unknown): Promise<Frame> => talk(control)
    const [one, two] = [await asker(other), await asker(other)]
    const told = decodeControl((await ask(one, { do: 'vaults' })).control) as {
      nonce: string
      vaults: { vault: string }[]
    }
    await ask(two, { do: 'vaults' })
    const { vault } = told.vaults[0]!
    const nonce = 'ab'.repeat(32)
    const claim = { keeper: 'keeper', claimant: other, vault, keeperNonce: told.nonce, claimantNonce: nonce }
    const proofOf = (change: object): object => {
      const proof = Buffer.from(signClaim(seed, { ...claim, ...change })).toString('hex')
      return { do: 'claim', vault, nonce, proof }
    }
    // on the other channel, with the number of this one
    expect((await ask(two, proofOf({}))).type).toBe(BACKUP.error)
    for (const change of [{ claimant: owner }, { keeper: 'another' }, { vault: 'cd'.repeat(32) }]) {
      expect((await ask(one, proofOf(change))).type).toBe(BACKUP.error)
      const again = decodeControl((await ask(one, { do: 'vaults' })).control) as { nonce: string }
      claim.keeperNonce = again.nonce
    }
    expect((await ask(one, { do: 'read', name: 'weft-backup.json' })).type).toBe(BACKUP.error)
    expect((await ask(one, proofOf({}))).type).toBe(BACKUP.answer)
    expect((await ask(one, { do: 'read', name: 'weft-backup.json' })).type).toBe(BACKUP.answer)
    // a number is good for one try
    expect((await ask(one, proofOf({}))).type).toBe(BACKUP.error)
    // and what was claimed is read, not written
    expect((await ask(one, { do: 'missing', names: ['weft-backup.json'] })).type).toBe(BACKUP.error)
  })

  it('says before that neither whose it is nor what would check a guess, and asks for no cheap key', async () => {
    const { vaults } = await claimableVaults(needsOf(other), 'keeper', undefined)
    const header = await vaultHeader(keptFolder(places, owner))
    expect(Object.keys(vaults[0]!)).toEqual(['vault', 'kdf'])
    expect(JSON.stringify(vaults)).not.toMatch(new RegExp(`${owner}|${header.id}|${header.check}|${header.claim}`))
    await expect(claimSeed(SECRET, header.kdf)).rejects.toMatchObject({ code: 'WEFT-STO-041' })
  })
})

type Asker = (control: unknown) => Promise<Frame>

/** One channel, questions one after the other. */
async function asker(as: string): Promise<Asker> {
  const channel = await networks.get(as)!.open('keeper', BACKUP_PROTOCOL)
  let answer = Promise.withResolvers<Frame>()
  channel.onFrame((each) => answer.resolve(each))
  return async (control) => {
    answer = Promise.withResolvers<Frame>()
    await channel.send(frame({ type: BACKUP.ask, request: 1, control: encodeControl(control) }))
    return answer.promise
  }
}

describe('who asks with a program of its own', () => {
  async function ask(as: string, control: unknown, payload = new Uint8Array()): Promise<Frame> {
    const channel = await networks.get(as)!.open('keeper', BACKUP_PROTOCOL)
    const answer = Promise.withResolvers<Frame>()
    channel.onFrame((each) => answer.resolve(each))
    const body = payload.length === 0 ? {} : { payload, dtype: 4 as const, dims: [payload.length] }
    await channel.send(frame({ type: BACKUP.ask, request: 1, control: encodeControl(control), ...body }))
    return answer.promise
  }
  const codeOf = async (answer: Promise<Frame>): Promise<string> => {
    const { type, control } = await answer
    return type === BACKUP.error ? refusalOf(decodeControl(control)).code : 'answered'
  }

  it('reads nothing of another, also where something is kept for both', async () => {
    await keepFor(places, owner, 1e9)
    await make()
    await send()
    expect(await codeOf(ask(other, { do: 'names' }))).toBe('WEFT-CFG-013')
    await keepFor(places, other, 1e9)
    expect(decodeControl((await ask(other, { do: 'names' })).control)).toEqual({ names: [] })
    expect(await codeOf(ask(other, { do: 'read', name: 'weft-backup.json' }))).toBe('WEFT-STO-041')
  })

  it.each([
    [{ do: 'add', name: '../../../etc/x' }],
    [{ do: 'add', name: 'snapshots/../../x.weft' }],
    [{ do: 'add', name: `chunks/ab/${'c'.repeat(64)}` }],
    [{ do: 'read', name: '../state/backup-keeping.json' }],
    [{ do: 'remove', name: 'weft-backup.json' }],
    [{ do: 'missing', names: 'all' }],
    [null],
  ])('writes and reads nothing with %j', async (control) => {
    await keepFor(places, owner, 1e9)
    expect(await codeOf(ask(owner, control, Buffer.from('x')))).toBe('WEFT-STO-041')
    expect(existsSync(keptFolder(places, owner))).toBe(false)
  })
})
