/**
 * Where the package of the grammar engine meets Node: it is a script for browsers that calls itself a module, so neither
 * `import` nor `require` takes it as it is. Each call gives an engine of its own: one that gave up is of no more use.
 */
import { readFileSync } from 'node:fs'
import { createRequire, Module } from 'node:module'
import type * as XGrammar from '@mlc-ai/web-xgrammar'

export type GrammarLibrary = Pick<typeof XGrammar, 'Grammar' | 'GrammarCompiler' | 'GrammarMatcher' | 'TokenizerInfo'>

/** A script as Node itself runs it; `node:vm` does not let it import on all versions that weft runs on. */
interface Script extends Module {
  _compile(source: string, filename: string): void
}

export function loadGrammarLibrary(): GrammarLibrary {
  const filename = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar')
  const script = new Module(filename) as Script
  script.filename = filename
  script._compile(readFileSync(filename, 'utf8'), filename)
  return script.exports as GrammarLibrary
}
