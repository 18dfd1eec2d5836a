/** Carries a folder of backups to the peer that keeps it, and back: what the other side has already is not sent again. */
import { ChannelClosedError, decodeControl, DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import { BackupMissingError, BackupShelf, SHELF_HEADER, signClaim } from '../../store/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { OfflineError } from '../errors.ts'
import type { BackupCall } from './call.ts'
import type { Claimable } from './claims.ts'
import { BackupClaimError, keeperError } from './errors.ts'
import { BACKUP, BACKUP_PROTOCOL, MAX_NAMES, namesOf, refusalOf, vaultsOf } from './protocol.ts'
import type { BackupAsk } from './protocol.ts'

/** Of one file: the largest is 16 MB. */
const ANSWER_MS = 60_000

export interface CarryNeeds {
  readonly network: Network | null
  readonly clock: Clock
  readonly random: RandomSource
}

export interface Carried {
  readonly schema: 'weft.backup-carried/1'
  readonly peer: string
  readonly directory: string
  /** Files that had to travel, of all that the folder has; its header aside, which always does. */
  readonly carried: number
  readonly files: number
  readonly bytes: number
}

/** @throws OfflineError, BackupMissingError, what the other peer refuses with, ChannelClosedError */
export async function sendBackup(
  needs: CarryNeeds,
  peer: string,
  directory: string,
  signal?: AbortSignal,
): Promise<Carried> {
  const shelf = new BackupShelf(directory)
  const names = await shelf.names()
  if (names.length === 0) throw new BackupMissingError(directory, 'backup')
  return over(needs, peer, signal, async (talk) => {
    let [carried, bytes] = [0, 0]
    for (let at = 0; at < names.length; at += MAX_NAMES) {
      const answer = await talk({ do: 'missing', names: names.slice(at, at + MAX_NAMES) })
      // Of the header the other side says whether it is this one: beside another, nothing of this would open.
      const missing = new Set([SHELF_HEADER, ...namesOf(decodeControl(answer.control))])
      // In the shelf's order, so that a list arrives behind its pieces.
      for (const name of names.slice(at, at + MAX_NAMES).filter((each) => missing.has(each))) {
        const file = await shelf.read(name)
        await talk({ do: 'add', name }, file)
        if (name === SHELF_HEADER) continue
        carried++
        bytes += file.length
      }
    }
    return { schema: 'weft.backup-carried/1', peer, directory, carried, files: names.length, bytes }
  })
}

/** @throws OfflineError, BackupMissingError, BackupShelfTakenError, what the other peer refuses with, ChannelClosedError */
export async function fetchBackup(
  needs: CarryNeeds,
  peer: string,
  directory: string,
  signal?: AbortSignal,
): Promise<Carried> {
  return over(needs, peer, signal, (talk) => takeAll(talk, peer, directory))
}

async function takeAll(talk: Talk, peer: string, directory: string): Promise<Carried> {
  const shelf = new BackupShelf(directory)
  let [carried, files, bytes] = [0, 0, 0]
  let after: string | undefined
  for (;;) {
    const asked = { do: 'names', ...(after === undefined ? {} : { after }) } as const
    const names = namesOf(decodeControl((await talk(asked)).control))
    files += names.length
    for (const name of names) {
      if (name !== SHELF_HEADER && (await shelf.has(name))) continue
      const { payload } = await talk({ do: 'read', name })
      await shelf.add(name, payload)
      if (name === SHELF_HEADER) continue
      carried++
      bytes += payload.length
    }
    after = names.at(-1)
    if (names.length < MAX_NAMES) break
  }
  if (files === 0) throw new BackupMissingError(peer, 'backup of this peer')
  return { schema: 'weft.backup-carried/1', peer, directory, carried, files, bytes }
}

export interface ClaimableVaults {
  readonly schema: 'weft.backup-vaults/1'
  readonly peer: string
  readonly vaults: readonly Claimable[]
}

/** Folders that a peer keeps and that whoever knows a passphrase may claim. @param of of this identity alone. @throws as `fetchBackup` */
export function claimableVaults(
  needs: CarryNeeds,
  peer: string,
  of: string | undefined,
  signal?: AbortSignal,
): Promise<ClaimableVaults> {
  return over(needs, peer, signal, async (talk) => {
    const asked = { do: 'vaults', ...(of === undefined ? {} : { of }) } as const
    const { vaults } = vaultsOf(decodeControl((await talk(asked)).control))
    return { schema: 'weft.backup-vaults/1', peer, vaults }
  })
}

/** Brings the first of these folders whose key is right. @throws as `fetchBackup`, with the keeper's refusal of the last key */
export function claimBackup(
  needs: CarryNeeds,
  { peer, directory, keys }: Pick<Extract<BackupCall, { do: 'claim' }>, 'peer' | 'directory' | 'keys'>,
  signal?: AbortSignal,
): Promise<Carried> {
  return over(needs, peer, signal, async (talk, claimant) => {
    let refused: unknown = new BackupMissingError(peer, 'backup that could be claimed')
    for (const { vault, seed } of keys) {
      const { nonce: keeperNonce } = vaultsOf(decodeControl((await talk({ do: 'vaults' })).control))
      const nonce = Buffer.from(needs.random.bytes(32)).toString('hex')
      const claim = { keeper: peer, claimant, vault, keeperNonce, claimantNonce: nonce }
      const proof = Buffer.from(signClaim(Buffer.from(seed, 'hex'), claim)).toString('hex')
      try {
        await talk({ do: 'claim', vault, nonce, proof })
      } catch (error) {
        refused = error
        if ((error as { code?: string }).code !== BackupClaimError.info.code) throw error
        continue
      }
      return takeAll(talk, peer, directory)
    }
    throw refused
  })
}

type Talk = (asked: BackupAsk, payload?: Uint8Array) => Promise<Frame>

async function over<Result>(
  { network, clock }: CarryNeeds,
  peer: string,
  signal: AbortSignal | undefined,
  work: (talk: Talk, self: string) => Promise<Result>,
): Promise<Result> {
  if (network === null) throw new OfflineError('a backup on another peer')
  const channel = await network.open(peer, BACKUP_PROTOCOL, signal)
  const stop = (): void => channel.abort(new ChannelClosedError(peer))
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await work(talker(channel, clock), network.id)
  } finally {
    signal?.removeEventListener('abort', stop)
    await channel.close().catch(() => undefined)
    signal?.throwIfAborted()
  }
}

function talker(channel: Channel, clock: Clock): Talk {
  let request = 0
  let waiting: PromiseWithResolvers<Frame> | undefined
  channel.onFrame((answer) => {
    if (answer.request !== request) return
    if (answer.type === BACKUP.answer) waiting?.resolve(answer)
    else if (answer.type === BACKUP.error)
      waiting?.reject(keeperError(channel.remote, refusalOf(decodeControl(answer.control))))
  })
  void channel.closed.then((reason) => waiting?.reject(reason ?? new ChannelClosedError(channel.remote)))
  return async (asked, payload) => {
    request++
    const answer = (waiting = Promise.withResolvers<Frame>())
    answer.promise.catch(() => undefined)
    const body = payload === undefined ? {} : { payload, dtype: DTYPE.bytes, dims: [payload.length] }
    await channel.send(frame({ type: BACKUP.ask, request, control: encodeControl(asked), ...body }))
    const cancel = clock.after(ANSWER_MS, () => channel.abort(new ChannelClosedError(channel.remote)))
    try {
      return await answer.promise
    } finally {
      cancel()
    }
  }
}
