/** `npm run example -- NAME`: runs examples/NAME/run.ts on the Node that npm scripts have. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../examples/', import.meta.url))
const names = readdirSync(folder, { withFileTypes: true }).filter((entry) =>
  existsSync(`${folder}${entry.name}/run.ts`),
)
const [name, ...rest] = process.argv.slice(2)
if (names.some((entry) => entry.name === name)) {
  const program = ['--disable-warning=ExperimentalWarning', `${folder}${name}/run.ts`, ...rest]
  process.exitCode = spawnSync(process.execPath, program, { stdio: 'inherit' }).status ?? 1
} else {
  process.stderr.write(`npm run example -- NAME, one of: ${names.map((entry) => entry.name).join(', ')}\n`)
  process.exitCode = 2
}
