/**
 * How long a newcomer waits: `npm start` with the embedded model, from the command to its parts, and two peers on one LAN told
 * nothing, from the readiness of the last to both having joined. `node bench/start.ts [--runs N]`; medians of so many runs.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createLab, joined } from '../test/integration/support.ts'
import { median } from './support/median.ts'

const ROOT = join(import.meta.dirname, '..')
/** What the demonstration writes, in this order, where each part has come. */
const MARKS = {
  'peers started': '✓ 3 peers started',
  'found each other': '✓ they found each other',
  'answer begins': '\n> ',
} as const
type Mark = keyof typeof MARKS

/** Seconds from the command to each part; the answer begins with the first byte behind its prompt's line. */
async function start(): Promise<Record<Mark, number>> {
  const began = performance.now()
  const child = spawn('npm', ['start', '--silent', '--', '--model', 'weft-tiny', '--max-tokens', '32'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  const seen: Partial<Record<Mark, number>> = {}
  const isThere = (mark: string): boolean => {
    const at = text.indexOf(mark)
    const end = mark === MARKS['answer begins'] ? text.indexOf('\n', at + mark.length) : at
    return at >= 0 && end >= 0 && (end === at || end + 1 < text.length)
  }
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    for (const [name, mark] of Object.entries(MARKS) as [Mark, string][])
      if (isThere(mark)) seen[name] ??= (performance.now() - began) / 1000
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  const missing = (Object.keys(MARKS) as Mark[]).filter((name) => seen[name] === undefined)
  if (status !== 0 || missing.length > 0)
    throw new Error(`npm start ended with ${String(status)} without "${missing.join(', ')}":\n${text}`)
  return seen as Record<Mark, number>
}

/** Seconds until two peers that know nothing of each other have joined; each mesh has homes of its own. */
async function meet(): Promise<number> {
  const lab = await createLab()
  try {
    const peers = await Promise.all(['a', 'b'].map((name) => lab.start(name)))
    const ready = performance.now()
    await joined(peers)
    return (performance.now() - ready) / 1000
  } finally {
    await lab.stop()
  }
}

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } })
const count = Number(values.runs)
const starts: Record<Mark, number>[] = []
const joins: number[] = []
for (let run = 0; run < count; run++) {
  starts.push(await start())
  joins.push(await meet())
}
const row = (what: string, all: readonly number[], wanted: string): void =>
  void process.stdout.write(
    `| ${what} | ${median(all).toFixed(2)} | ${Math.min(...all).toFixed(2)} | ${Math.max(...all).toFixed(2)} | ${wanted} |\n`,
  )
process.stdout.write(`| what, ${count} runs | median, s | least | most | wanted |\n|---|---|---|---|---|\n`)
for (const name of Object.keys(MARKS) as Mark[])
  row(
    `\`npm start\`: ${name}`,
    starts.map((seen) => seen[name]),
    name === 'answer begins' ? '15' : '',
  )
row('two peers, from ready to joined', joins, '5')
