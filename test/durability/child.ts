/** Writes kinds of state while disk.c watches: once from the beginning to the end, then each step with a disk that fills up. */
import { cpSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { found, refusalOf, shown } from './kind.ts'
import type { Kind, Opened, Refusal } from './kind.ts'

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

function journalSize(): number {
  return statSync(process.env['WEFT_DISK_JOURNAL']!).size
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
  const tell = (after: string, state: unknown): void =>
    void told.push({ after, journal: journalSize(), state: shown(state) })
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

/** What one kind did, and where its records stand in the journal. */
export interface Tried {
  readonly name: string
  readonly told: readonly Told[]
  readonly journal: readonly [from: number, to: number]
  readonly squeezed: readonly Squeezed[]
}

/** @param root has for each kind a folder, in it `home` to be written to and `base` to be copied */
async function tried(kind: Kind, root: string): Promise<Tried> {
  const from = journalSize()
  const told = await recorded(kind, join(root, 'home'))
  const journal = [from, journalSize()] as const
  return { name: kind.name, told, journal, squeezed: await squeezed(kind, join(root, 'full'), join(root, 'base')) }
}

const [file = '', root = ''] = process.argv.slice(2)
if (process.argv[1] === import.meta.filename) {
  setRoom(-1)
  const { KINDS } = (await import(`./kinds/${file}.ts`)) as { KINDS: readonly Kind[] }
  const all: Tried[] = []
  for (const [index, kind] of KINDS.entries()) all.push(await tried(kind, join(root, String(index))))
  process.stdout.write(JSON.stringify(all))
}
