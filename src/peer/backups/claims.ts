/**
 * Backups for who has lost the identity that they were kept for: a member shows that it knows the passphrase of a folder
 * (src/store/backup/claim.ts), and reads that one folder on the channel where it has shown it. Whoever does not is told
 * which folders there are to claim, by a name and a salt that say nothing of whose they are.
 */
import { createHash } from 'node:crypto'
import { BackupShelf, isClaimSigned, vaultHeader } from '../../store/index.ts'
import type { VaultHeader } from '../../store/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import type { HomePaths } from '../home.ts'
import type { Site } from '../site.ts'
import { BackupClaimError, BackupGuessesError } from './errors.ts'
import { keptFolder, readKeeping } from './keeping.ts'
import type { BackupAsk } from './protocol.ts'
import { MAX_VAULTS } from './protocol.ts'

/** Claims of one peer that do not hold, in an hour. Each costs whoever guesses one scrypt, and a member that may be asked. */
export const GUESSES_AN_HOUR = 8
const HOUR_MS = 3_600_000
/** Peers whose guesses are remembered: members all of them. */
const MAX_GUESSERS = 4_096
const NONCE_BYTES = 32

export interface ClaimNeeds {
  readonly self: string
  readonly clock: Clock
  readonly random: RandomSource
  readonly paths: Pick<HomePaths, 'root' | 'state'>
  readonly site: Pick<Site, 'note' | 'tally'>
  readonly telemetry: Pick<Telemetry, 'count'>
  /** Whether a peer is one whom a backup may be given back to at all: a member of the cluster. */
  mayClaim(peer: string): boolean
  /** A claim of a peer did not hold. */
  guessed(peer: string): void
}

export interface Claimable {
  /** Names the folder and whose it is, and tells neither. Hex. */
  readonly vault: string
  readonly kdf: VaultHeader['kdf']
}

/** Of one channel. */
export interface Claiming {
  /** @throws BackupClaimError, BackupGuessesError */
  vaults(of: string | undefined): Promise<{ readonly vaults: readonly Claimable[]; readonly nonce: string }>
  /** @throws BackupClaimError, BackupGuessesError */
  claim(asked: Extract<BackupAsk, { do: 'claim' }>): Promise<void>
  /** What was claimed here. */
  readonly shelf: BackupShelf | undefined
}

interface Kept extends Claimable {
  readonly owner: string
  readonly key: string
}

export function createClaims(needs: ClaimNeeds): (claimant: string) => Claiming {
  const guesses = new Map<string, readonly number[]>()
  const recent = (peer: string): readonly number[] =>
    (guesses.get(peer) ?? []).filter((at) => needs.clock.now() - at < HOUR_MS)
  /** Counted before it is looked at, so that many at once are many. */
  const guess = (peer: string): void => {
    guesses.set(peer, [...recent(peer), needs.clock.now()])
    while (guesses.size > MAX_GUESSERS) guesses.delete(guesses.keys().next().value!)
  }
  const check = (peer: string): void => {
    if (!needs.mayClaim(peer)) throw new BackupClaimError('only a member of the cluster is given a backup')
    if (recent(peer).length >= GUESSES_AN_HOUR) throw new BackupGuessesError(peer)
  }
  return (claimant) => {
    let nonce: string | undefined
    let shelf: BackupShelf | undefined
    return {
      get shelf() {
        return shelf
      },
      async vaults(of) {
        check(claimant)
        const all = await keptBy(needs)
        nonce = Buffer.from(needs.random.bytes(NONCE_BYTES)).toString('hex')
        const vaults = all.filter(({ owner }) => of === undefined || owner === of)
        return { vaults: vaults.slice(0, MAX_VAULTS).map(({ vault, kdf }) => ({ vault, kdf })), nonce }
      },
      async claim({ vault, nonce: claimantNonce, proof }) {
        check(claimant)
        const keeperNonce = nonce
        // good for one try
        nonce = undefined
        if (keeperNonce === undefined) throw new BackupClaimError('it was not asked what there is to claim')
        guess(claimant)
        const found = (await keptBy(needs)).find((one) => one.vault === vault)
        const claim = { keeper: needs.self, claimant, vault, keeperNonce, claimantNonce }
        const holds = found !== undefined && isClaimSigned(found.key, claim, Buffer.from(proof, 'hex'))
        needs.telemetry.count('backup_claims', 1, { outcome: holds ? 'ok' : 'refused' })
        const event = { who: `peer:${claimant}`, what: 'backup.claimed', target: found?.owner } as const
        // each by itself: tries are few an hour, and a secret is needed for one that is right
        needs.site.note({ ...event, result: holds ? 'ok' : 'refused' })
        if (!holds) {
          needs.guessed(claimant)
          throw new BackupClaimError('the passphrase is not that of the backup')
        }
        guesses.set(claimant, recent(claimant).slice(0, -1))
        shelf = new BackupShelf(keptFolder(needs.paths, found.owner))
      },
    }
  }
}

/** @throws KeepingFileError */
async function keptBy({ paths }: Pick<ClaimNeeds, 'paths'>): Promise<readonly Kept[]> {
  const all: Kept[] = []
  for (const owner of (await readKeeping(paths)).keys()) {
    const header = await vaultHeader(keptFolder(paths, owner)).catch(() => undefined)
    if (header?.claim === undefined) continue
    const vault = createHash('sha256').update(`weft backup vault/1 ${owner} ${header.id}`).digest('hex')
    all.push({ owner, vault, kdf: header.kdf, key: header.claim })
  }
  return all
}
