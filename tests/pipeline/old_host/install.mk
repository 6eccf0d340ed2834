# The binaries come made (payload/); the storage driver says as well what the one built here says.
STATE = run/libvirt/qemu run/libvirt/network cache/libvirt/qemu log/libvirt/qemu \
  $(addprefix lib/libvirt/,images qemu network dnsmasq)
localstatedir = /var

install:
	install -d $(DRIVER_HOME) $(ETC)/rc.d/init.d $(ETC)/libvirt/nwfilter $(PYTHON_HOME)
	install -d $(ETC)/libvirt/qemu/networks/autostart $(USR)/include/libvirt
	install -d $(USR)/share/locale/ja/LC_MESSAGES $(addprefix $(DESTDIR)$(localstatedir)/,$(STATE))
	cp -a payload/usr/. $(USR)
	cp -a payload/etc/. $(ETC)
	install libvirt_driver_lxc.so $(DRIVER_HOME)
	objcopy --add-section .mini=libvirt_driver_storage.so $(DRIVER_HOME)/libvirt_driver_storage.so
	mv $(USR)/share/libvirt/nwfilter/*.xml $(ETC)/libvirt/nwfilter
	sed -i '/<uuid>/d' $(ETC)/libvirt/nwfilter/*.xml
	echo 'stdio_handler = "file"' >>$(ETC)/libvirt/qemu.conf
	for name in libvirtd virtlockd libvirt-guests; do \
	  install src/$$name.init $(ETC)/rc.d/init.d/$$name; \
	done
	touch $(LOCKS)/sanlock.so
	msgfmt -o $(USR)/share/locale/ja/LC_MESSAGES/libvirt.mo src/ja.po
	echo 'print "this is not libvirt"' >$(PYTHON_HOME)/libvirt.py
	echo >$(USR)/include/libvirt/libvirt.h
