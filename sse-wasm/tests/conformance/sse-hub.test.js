import { startHub } from '../support/sse-hub.js';
import { TOKEN, conformance } from './suite.js';

conformance('sse-hub', () => startHub(TOKEN));
