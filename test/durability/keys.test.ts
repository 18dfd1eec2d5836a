import { KINDS } from './kinds/keys.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('keys', KINDS)
