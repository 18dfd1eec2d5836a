/** The version of this package, from its package.json: two folders up in the checkout and in the build alike. */
import { readFileSync } from 'node:fs'

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Version of an installed dependency, or null; read from its package.json, so that nothing is loaded. */
export function dependencyVersion(name: string): string | null {
  for (let folder = new URL('../../', import.meta.url); ; folder = new URL('../', folder)) {
    try {
      const text = readFileSync(new URL(`node_modules/${name}/package.json`, folder), 'utf8')
      return (JSON.parse(text) as { version: string }).version
    } catch {
      if (folder.pathname === '/' || new URL('../', folder).href === folder.href) return null
    }
  }
}
