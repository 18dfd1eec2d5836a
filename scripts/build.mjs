/**
 * Makes `dist/`, what the package ships: Node strips no types under node_modules. JavaScript and declarations by tsc,
 * and what `src/` holds besides TypeScript copied beside it. Built in a folder of its own and moved, so that a build
 * that fails leaves the last one.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const source = join(root, 'src')
const target = join(root, 'dist')
mkdirSync(join(root, '.weft'), { recursive: true })
const fresh = mkdtempSync(join(root, '.weft', 'build-'))

try {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const built = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', fresh], {
    stdio: 'inherit',
  })
  if (built.status !== 0) throw new Error(`tsc ended with ${built.status ?? built.signal}`)
  for (const file of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!file.isFile() || file.name.endsWith('.ts')) continue
    const from = join(file.parentPath, file.name)
    const to = join(fresh, from.slice(source.length))
    mkdirSync(dirname(to), { recursive: true })
    cpSync(from, to)
  }
  rmSync(target, { recursive: true, force: true })
  renameSync(fresh, target)
} finally {
  rmSync(fresh, { recursive: true, force: true })
}
