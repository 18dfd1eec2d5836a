/**
 * `npm run attacks [ID...]`: each attack with its control, in a process of its own, two beside each other but for those that
 * measure times. Ends with 1 where a control fails or a defence does not hold.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { COMPILED } from '../compiled.ts'
import type { Attack } from './attack.ts'
import { ATTACKS } from './list.ts'

const LANES = 2
/** They compute longest: begun first, that no lane waits for them in the end. */
const FIRST = ['E9', 'E2', 'E3d']

interface Ended {
  readonly text: string
  readonly failed: number
}

/** What it says comes at its end, so that two beside each other can be read. */
async function run({ id }: Attack): Promise<Ended> {
  const child = spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, 'one.ts'), id], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { NODE_COMPILE_CACHE: COMPILED, ...process.env },
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
  const [status] = (await once(child, 'close')) as [number | null]
  return { text: status === null ? `${text}  ${id} was ended\n` : text, failed: status ?? 1 }
}

const wanted = process.argv.slice(2)
const asked = ATTACKS.filter(({ id }) => wanted.length === 0 || wanted.includes(id))
const rank = ({ id }: Attack): number => (FIRST.includes(id) ? FIRST.indexOf(id) : FIRST.length)
const waiting = asked.filter(({ isAlone }) => isAlone !== true).toSorted((one, other) => rank(one) - rank(other))
const outcomes = new Map(asked.map((attack) => [attack, Promise.withResolvers<Ended>()]))

async function lane(): Promise<void> {
  for (let attack = waiting.shift(); attack !== undefined; attack = waiting.shift()) {
    outcomes.get(attack)!.resolve(await run(attack))
  }
}

async function all(): Promise<void> {
  await Promise.all(Array.from({ length: LANES }, lane))
  for (const attack of asked) if (attack.isAlone === true) outcomes.get(attack)!.resolve(await run(attack))
}

const running = all()
let failed = 0
for (const { promise } of outcomes.values()) {
  const ended = await promise
  process.stdout.write(ended.text)
  failed += ended.failed
}
await running
process.stdout.write(failed === 0 ? 'all hold\n' : `${failed} do not hold\n`)
process.exitCode = failed === 0 ? 0 : 1
