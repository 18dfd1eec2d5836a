/**
 * Keeps backups of those for whom a person has said so. Files are added and read by the peer whose backup they are, and by
 * nobody else; none is changed or removed over the network, so that whoever steals a device cannot spoil its backups.
 */
import { errorData } from '../../errors.ts'
import { decodeControl, DTYPE, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import { BackupShelf } from '../../store/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import type { HomePaths } from '../home.ts'
import type { Site } from '../site.ts'
import { BackupNotKeptError } from './errors.ts'
import { keptFolder, readKeeping } from './keeping.ts'
import { BACKUP, BACKUP_PROTOCOL, checkAsk, MAX_NAMES } from './protocol.ts'

export interface KeepNeeds {
  readonly network: Network
  readonly paths: Pick<HomePaths, 'root' | 'state'>
  readonly site: Pick<Site, 'tally'>
  readonly telemetry: Pick<Telemetry, 'count'>
}

interface Answer {
  readonly names?: readonly string[]
  readonly bytes?: Uint8Array
}

export function keepBackups(needs: KeepNeeds): void {
  const shelves = new Map<string, BackupShelf>()
  needs.network.handle(BACKUP_PROTOCOL, 'connect', (channel) => {
    channel.onFrame((message) => answered(needs, shelves, channel, message))
  })
}

async function answered(
  needs: KeepNeeds,
  shelves: Map<string, BackupShelf>,
  channel: Channel,
  message: Frame,
): Promise<void> {
  const { request } = message
  let answer: Frame
  try {
    const shelf = await shelfOf(needs, shelves, channel.remote)
    const { names, bytes } = await answerTo(needs, shelf, message, channel.remote)
    const payload = bytes === undefined ? {} : { payload: bytes, dtype: DTYPE.bytes, dims: [bytes.length] }
    answer = frame({
      type: BACKUP.answer,
      request,
      control: encodeControl(names === undefined ? {} : { names }),
      ...payload,
    })
  } catch (error) {
    answer = frame({ type: BACKUP.error, request, control: encodeControl(errorData(error)) })
  }
  await channel.send(answer).catch(() => undefined)
}

/** Asked anew each time: a person may have changed it. @throws BackupNotKeptError, KeepingFileError */
async function shelfOf({ paths }: KeepNeeds, shelves: Map<string, BackupShelf>, peer: string): Promise<BackupShelf> {
  const limit = (await readKeeping(paths)).get(peer)
  if (limit === undefined) throw new BackupNotKeptError(peer)
  const key = `${peer} ${limit}`
  const shelf = shelves.get(key) ?? new BackupShelf(keptFolder(paths, peer), limit)
  shelves.set(key, shelf)
  return shelf
}

async function answerTo(
  { site, telemetry }: KeepNeeds,
  shelf: BackupShelf,
  { control, payload }: Frame,
  peer: string,
): Promise<Answer> {
  const asked = checkAsk(decodeControl(control))
  if (asked.do === 'missing') return { names: await absent(shelf, asked.names) }
  if (asked.do === 'names') return { names: behind(await shelf.names(), asked.after) }
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
