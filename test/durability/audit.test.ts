import { KINDS } from './kinds/audit.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('audit', KINDS)
