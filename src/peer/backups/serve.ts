/**
 * Keeps backups of those for whom a person has said so. Files are added and read by the peer whose backup they are, read also
 * by a member that shows that it knows the passphrase (claims.ts), and by nobody else; none is changed or removed over the
 * network, so that whoever steals a device cannot spoil its backups.
 */
import { errorData } from '../../errors.ts'
import { decodeControl, DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import { BackupShelf } from '../../store/index.ts'
import { createClaims } from './claims.ts'
import type { ClaimNeeds, Claiming } from './claims.ts'
import type { Parts } from '../parts.ts'
import { BackupNotKeptError } from './errors.ts'
import { keptFolder, readKeeping } from './keeping.ts'
import { BACKUP, BACKUP_PROTOCOL, checkAsk, MAX_NAMES } from './protocol.ts'

export interface KeepNeeds extends Omit<ClaimNeeds, 'self'> {
  readonly network: Network
}

/** In a mesh without a membership log nothing is given back to another identity: nobody could say who is asking. */
export function keeperOf(
  parts: Pick<Parts, 'clock' | 'random' | 'paths' | 'telemetry' | 'site' | 'cluster'>,
  network: Network,
): KeepNeeds {
  const { clock, random, paths, telemetry, site, cluster } = parts
  return {
    clock,
    random,
    paths,
    telemetry,
    site,
    network,
    mayClaim(peer) {
      const role = cluster?.control.roleOf(peer)?.role
      return role !== undefined && role !== 'guest'
    },
    guessed: (peer) => void site.defence.offend(`peer:${peer}`, 'probing'),
  }
}

interface Answer {
  readonly control?: object
  readonly bytes?: Uint8Array
}

export function keepBackups(needs: KeepNeeds): void {
  const shelves = new Map<string, BackupShelf>()
  const claims = createClaims({ ...needs, self: needs.network.id })
  needs.network.handle(BACKUP_PROTOCOL, 'connect', (channel) => {
    const claiming = claims(channel.remote)
    channel.onFrame((message) => answered(needs, { shelves, claiming }, channel, message))
  })
}

interface Talk {
  readonly shelves: Map<string, BackupShelf>
  readonly claiming: Claiming
}

async function answered(needs: KeepNeeds, talk: Talk, channel: Channel, message: Frame): Promise<void> {
  const { request } = message
  let answer: Frame
  try {
    const { control = {}, bytes } = await answerTo(needs, talk, message, channel.remote)
    const payload = bytes === undefined ? {} : { payload: bytes, dtype: DTYPE.bytes, dims: [bytes.length] }
    answer = frame({ type: BACKUP.answer, request, control: encodeControl(control), ...payload })
  } catch (error) {
    answer = frame({ type: BACKUP.error, request, control: encodeControl(errorData(error)) })
  }
  await channel.send(answer).catch(() => undefined)
}

/** Asked anew each time: a person may have changed it. @throws BackupNotKeptError, KeepingFileError */
async function shelfOf({ paths }: KeepNeeds, { shelves }: Talk, peer: string): Promise<BackupShelf> {
  const limit = (await readKeeping(paths)).get(peer)
  if (limit === undefined) throw new BackupNotKeptError(peer)
  const key = `${peer} ${limit}`
  const shelf = shelves.get(key) ?? new BackupShelf(keptFolder(paths, peer), limit)
  shelves.set(key, shelf)
  return shelf
}

async function answerTo(needs: KeepNeeds, talk: Talk, { control, payload }: Frame, peer: string): Promise<Answer> {
  const { site, telemetry } = needs
  const { claiming } = talk
  const asked = checkAsk(decodeControl(control))
  if (asked.do === 'vaults') return { control: await claiming.vaults(asked.of) }
  if (asked.do === 'claim') {
    await claiming.claim(asked)
    return {}
  }
  const isRead = asked.do === 'names' || asked.do === 'read'
  const shelf = (isRead ? claiming.shelf : undefined) ?? (await shelfOf(needs, talk, peer))
  if (asked.do === 'missing') return { control: { names: await absent(shelf, asked.names) } }
  if (asked.do === 'names') return { control: { names: behind(await shelf.names(), asked.after) } }
  if (asked.do === 'read') return { bytes: await shelf.read(asked.name) }
  await shelf.add(asked.name, payload)
  telemetry.count('backup_files_kept')
  // Whoever reads the log wants the backups, not the pieces.
  if (asked.name.startsWith('snapshots/'))
    site.tally({ who: `peer:${peer}`, what: 'backup.kept', target: asked.name, result: 'ok' })
  return {}
}

async function absent(shelf: BackupShelf, names: readonly string[]): Promise<string[]> {
  const missing: string[] = []
  for (const name of names) if (!(await shelf.has(name))) missing.push(name)
  return missing
}

function behind(names: readonly string[], after: string | undefined): readonly string[] {
  const from = after === undefined ? 0 : names.indexOf(after) + 1
  return names.slice(from, from + MAX_NAMES)
}
