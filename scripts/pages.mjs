/**
 * Runs the commands of the README and of the examples' READMEs as they stand: each ```sh block as one script, in the
 * repository, with a home of its own. `npm run pages [PAGE...]`; prints what it runs and what came of it. The README runs
 * alone, since it is for a machine that does nothing else; the examples, which keep to themselves, two beside each other.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
/** Whoever runs this has installed already, and runs the tests beside this: .ci/run has both (a test looks). */
const DONE_ELSEWHERE = new Set(['npm ci', 'npm test'])
const DEADLINE_MS = 300_000
const LANES = 2
const COMPILED = join(root, 'node_modules', '.cache', 'compiled')
const LAST_WORDS_MS = 1_000

const examples = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => `examples/${entry.name}/README.md`)
const asked = process.argv.slice(2)
const pages = asked.length > 0 ? asked : ['README.md', ...examples]

let failed = 0
const waiting = [...pages]
if (waiting[0] === 'README.md') await runPage(waiting.shift())
await Promise.all(Array.from({ length: LANES }, lane))
process.stdout.write(failed === 0 ? 'all commands of the pages work\n' : `${failed} blocks failed\n`)
process.exitCode = failed === 0 ? 0 : 1

async function lane() {
  for (let page = waiting.shift(); page !== undefined; page = waiting.shift()) await runPage(page)
}

async function runPage(page) {
  for (const block of blocksOf(readFileSync(join(root, page), 'utf8'))) {
    const commands = block.filter((line) => !DONE_ELSEWHERE.has(line.trim()))
    if (commands.every((line) => line.trim() === '')) continue
    const { status, text } = await runBlock(page, commands)
    process.stdout.write(text)
    if (status !== 0) failed++
  }
}

function blocksOf(text) {
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1].trimEnd().split('\n'))
}

async function runBlock(page, commands) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-page-'))
  let text = `\n== ${page}\n${commands.map((line) => `$ ${line}`).join('\n')}\n`
  const began = performance.now()
  // Peers of this machine meet in the runtime folder: a folder of its own keeps others out. What Node compiles is kept for all.
  const env = {
    NODE_COMPILE_CACHE: COMPILED,
    ...process.env,
    WEFT_HOME: join(folder, 'home'),
    XDG_RUNTIME_DIR: folder,
    NO_COLOR: '1',
  }
  const script = ['set -euo pipefail', ...commands].join('\n')
  const child = spawn('bash', ['-c', script], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  // Told whole at its end: two beside each other can be read so.
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part) => (text += part))
  }
  const { pid } = child
  // Its whole group: what it started too. Without an id it never started.
  const timer = setTimeout(() => pid !== undefined && process.kill(-pid, 'SIGTERM'), DEADLINE_MS)
  const closed = new Promise((resolve) => child.on('close', resolve))
  const status = await new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
  clearTimeout(timer)
  // The last of what it said is read first; a program that it left behind may hold the pipe for ever.
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS))])
  if (status !== 0) {
    text += `== ${page}: exit status ${status}\n`
    // A block that broke off may have left its peer.
    await new Promise((resolve) =>
      spawn(join(root, 'bin', 'weft'), ['down'], { env, stdio: 'ignore' }).on('exit', resolve),
    )
  }
  rmSync(folder, { recursive: true, force: true })
  text += `== ${page}: ${((performance.now() - began) / 1000).toFixed(0)} s\n`
  return { status, text }
}
