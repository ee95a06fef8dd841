(() => { window.inficond.guide = { start() {} }; })();
