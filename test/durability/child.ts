/** Writes one kind of state while disk.c watches: once from its beginning to its end, or each step with a disk that fills up. */
import { cpSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { found, refusalOf, shown } from './kind.ts'
import type { Kind, Opened, Refusal } from './kind.ts'
import { KINDS } from './kinds/index.ts'

const CONTROL = process.env['WEFT_DISK_CONTROL']
const control = CONTROL === undefined ? -1 : openSync(CONTROL, 'r+')

/** How many changes still find room; -1: all. */
function setRoom(changes: number): void {
  writeSync(control, new Uint8Array(BigInt64Array.of(BigInt(changes)).buffer), 0, 8, 0)
}

/** Counted by disk.c since the program began. */
function changesSoFar(): number {
  const bytes = new BigInt64Array(2)
  readSync(control, new Uint8Array(bytes.buffer), 0, 16, 0)
  return Number(bytes[1])
}

/** What the process told others after a step, and how long the journal of changes was by then. */
export interface Told {
  readonly after: string
  readonly journal: number
  readonly state: string
}

/** A step while there was no room for its n-th change, and all that came after it. */
export interface Squeezed {
  readonly step: string
  readonly room: number
  readonly refused: Refusal | null
  /** While the disk was full. */
  readonly during: string
  /** Refused although there was room again, in the same process. */
  readonly again: Refusal | null
  readonly after: string
  readonly reopened: string
}

async function recorded(kind: Kind, home: string): Promise<Told[]> {
  const told: Told[] = []
  const journal = process.env['WEFT_DISK_JOURNAL']!
  const tell = (after: string, state: unknown): void =>
    void told.push({ after, journal: statSync(journal).size, state: shown(state) })
  const opened = await kind.open(home)
  tell('open', await opened.state())
  for (const { name, run } of opened.steps) {
    await run()
    tell(name, await opened.state())
  }
  await opened.close()
  return told
}

async function seen(opened: Opened): Promise<string> {
  try {
    return shown(await opened.state())
  } catch (error) {
    return `refused ${refusalOf(error).code}`
  }
}

async function attempt(action: () => unknown): Promise<Refusal | null> {
  try {
    await action()
    return null
  } catch (error) {
    return refusalOf(error)
  }
}

async function squeezed(kind: Kind, root: string, base: string): Promise<Squeezed[]> {
  const all: Squeezed[] = []
  const fresh = async (name: string): Promise<[string, Opened]> => {
    const home = join(root, name)
    cpSync(base, home, { recursive: true })
    return [home, await kind.open(home)]
  }
  const [, first] = await fresh('all')
  const { length } = first.steps
  await first.close()
  for (let index = 0; index < length; index++) {
    for (let room = 0; ; room++) {
      const [home, opened] = await fresh(`${index}-${room}`)
      for (const before of opened.steps.slice(0, index)) await before.run()
      const { name, run } = opened.steps[index]!
      const from = changesSoFar()
      setRoom(room)
      const refused = await attempt(run)
      const used = changesSoFar() - from
      const during = await seen(opened)
      setRoom(-1)
      const again = refused === null ? null : await attempt(run)
      const after = shown(await opened.state())
      await opened.close()
      all.push({ step: name, room, refused, during, again, after, reopened: await found(kind, home) })
      if (used <= room) break
    }
  }
  return all
}

const [how, name = '', home = '', base = ''] = process.argv.slice(2)
if (process.argv[1] === import.meta.filename) {
  const kind = KINDS.find((each) => each.name === name)!
  setRoom(-1)
  const result = how === 'record' ? await recorded(kind, home) : await squeezed(kind, home, base)
  process.stdout.write(JSON.stringify(result))
}
