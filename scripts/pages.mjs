/**
 * Runs the commands of the README and of the examples' READMEs as they stand: each ```sh block as one script, in the
 * repository, with a home of its own. `npm run pages [PAGE...]`; prints what it runs, and ends at the first failure.
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

const examples = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => `examples/${entry.name}/README.md`)
const asked = process.argv.slice(2)
const pages = asked.length > 0 ? asked : ['README.md', ...examples]

let failed = 0
for (const page of pages) {
  for (const block of blocksOf(readFileSync(join(root, page), 'utf8'))) {
    const commands = block.filter((line) => !DONE_ELSEWHERE.has(line.trim()))
    if (commands.every((line) => line.trim() === '')) continue
    if ((await runBlock(page, commands)) !== 0) failed++
  }
}
process.stdout.write(failed === 0 ? 'all commands of the pages work\n' : `${failed} blocks failed\n`)
process.exitCode = failed === 0 ? 0 : 1

function blocksOf(text) {
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1].trimEnd().split('\n'))
}

async function runBlock(page, commands) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-page-'))
  process.stdout.write(`\n== ${page}\n${commands.map((line) => `$ ${line}`).join('\n')}\n`)
  // Peers of this machine meet in the runtime folder: a folder of its own keeps others out.
  const env = { ...process.env, WEFT_HOME: join(folder, 'home'), XDG_RUNTIME_DIR: folder, NO_COLOR: '1' }
  const script = ['set -euo pipefail', ...commands].join('\n')
  const child = spawn('bash', ['-c', script], {
    cwd: root,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  })
  const { pid } = child
  // Its whole group: what it started too. Without an id it never started.
  const timer = setTimeout(() => pid !== undefined && process.kill(-pid, 'SIGTERM'), DEADLINE_MS)
  const status = await new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
  clearTimeout(timer)
  if (status !== 0) {
    process.stdout.write(`== ${page}: exit status ${status}\n`)
    // A block that broke off may have left its peer.
    await new Promise((resolve) =>
      spawn(join(root, 'bin', 'weft'), ['down'], { env, stdio: 'ignore' }).on('exit', resolve),
    )
  }
  rmSync(folder, { recursive: true, force: true })
  return status
}
